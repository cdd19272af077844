// Writes a random model of the llama architecture: for benchmarks and for trying things out where
// no real model is at hand.
//
//   bazel run //tools:make_model -- --shape tinyllama --type Q4_K_M --out /tmp/model.gguf
#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "engine/quant/file_type.h"
#include "engine/testing/model_maker.h"
#include "engine/testing/small_vocabulary.h"
#include "tools/command_line.h"

namespace {

// Small enough to be instant, wide enough for every tensor type.
baton::ModelOptions TinyShape() {
  baton::ModelOptions options;
  options.layer_count = 4;
  options.width = 256;
  options.feed_forward_size = 512;
  options.vocabulary_size = 512;
  return options;
}

// Flags that change one thing of the shape.
void AddShapeFlags(CLI::App& app, baton::ModelOptions& options) {
  app.add_option("--layers", options.layer_count)->check(CLI::PositiveNumber);
  app.add_option("--width", options.width, "of a hidden row")->check(CLI::PositiveNumber);
  app.add_option("--heads", options.head_count)->check(CLI::PositiveNumber);
  app.add_option("--kv-heads", options.kv_head_count)->check(CLI::PositiveNumber);
  app.add_option("--feed-forward", options.feed_forward_size)->check(CLI::PositiveNumber);
  app.add_option("--experts", options.expert_count)->check(CLI::NonNegativeNumber);
  app.add_option("--vocabulary", options.vocabulary_size)
      ->check(CLI::Range(baton::kMinVocabulary, 1 << 20));
  app.add_option("--context", options.context_length)->check(CLI::PositiveNumber);
  app.add_flag("--tied", options.tied_output, "the output matrix is the embedding");
  app.add_option("--seed", options.seed, "same seed, same bytes")->capture_default_str();
}

std::vector<std::string> FileTypeNames() {
  std::vector<std::string> names;
  for (const baton::FileType& file_type : baton::AllFileTypes()) names.push_back(file_type.name);
  return names;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes a random model of the llama architecture.");
  baton::ModelOptions options = TinyShape();
  std::string type = "Q4_0";
  bool pure = false;
  std::string out;
  app.add_option_function<std::string>(
         "--shape",
         [&options](const std::string& shape) {
           if (shape == "tinyllama") options = baton::TinyLlamaShape(options.type);
         },
         "tiny, or tinyllama (1.1 billion weights); the flags after it change one thing each")
      ->check(CLI::IsMember({"tiny", "tinyllama"}))
      ->trigger_on_parse();
  AddShapeFlags(app, options);
  app.add_option("--type", type, "what llama-quantize makes of this type")
      ->check(CLI::IsMember(FileTypeNames(), CLI::ignore_case))
      ->capture_default_str();
  app.add_flag("--pure", pure, "this type for all matrices, the output's too");
  app.add_option("--out", out, "the file to write")->required()->check([](const std::string& path) {
    return path.empty() ? "the path is empty" : "";
  });
  if (const std::optional<int> code = baton::ParseCommandLine(app, argc, argv)) return *code;
  const baton::FileType* file_type = baton::FindFileType(type);
  options.type = file_type->matrix;
  if (!pure) options.mix = file_type;
  return baton::ExitCode(baton::WriteModel(options, baton::FromWorkingDirectory(out),
                                           std::max(1u, std::thread::hardware_concurrency())));
}
