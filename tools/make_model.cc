// Writes a random model of the llama architecture: for benchmarks and for trying things out where
// no real model is at hand.
//
//   bazel run //tools:make_model -- --shape tinyllama --type Q4_0 --out /tmp/model.gguf
#include <cstdio>
#include <cstdlib>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "engine/testing/model_maker.h"

namespace {

// Relative paths count from where the person stands, also under `bazel run`.
std::string FromWorkingDirectory(const std::string& path) {
  const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (directory == nullptr || path.front() == '/') return path;
  return std::string(directory) + "/" + path;
}

// Small enough to be instant, wide enough for every tensor type.
baton::ModelOptions TinyShape(baton::TensorType type) {
  baton::ModelOptions options;
  options.layer_count = 4;
  options.width = 256;
  options.feed_forward_size = 512;
  options.vocabulary_size = 512;
  options.type = type;
  return options;
}

const baton::TypeTraits* FindTypeByName(const std::string& name) {
  for (const baton::TypeTraits& traits : baton::AllTypeTraits()) {
    if (name == traits.name) return &traits;
  }
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes a random model of the llama architecture.");
  std::string shape = "tiny";
  std::string type_name = "Q4_0";
  std::string out;
  uint64_t seed = 1;
  app.add_option("--shape", shape, "tiny, or tinyllama (1.1 billion weights)")
      ->check(CLI::IsMember({"tiny", "tinyllama"}))
      ->capture_default_str();
  app.add_option("--type", type_name, "tensor type of the matrices")->capture_default_str();
  app.add_option("--seed", seed, "same seed, same bytes")->capture_default_str();
  app.add_option("--out", out, "the file to write")->required()->check([](const std::string& path) {
    return path.empty() ? "the path is empty" : "";
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const baton::TypeTraits* traits = FindTypeByName(type_name);
  if (traits == nullptr) {
    std::fprintf(stderr, "error: '%s' is no tensor type\n", type_name.c_str());
    return 2;
  }
  baton::ModelOptions options =
      shape == "tinyllama" ? baton::TinyLlamaShape(traits->type) : TinyShape(traits->type);
  options.seed = seed;
  const absl::Status status = baton::WriteModel(options, FromWorkingDirectory(out));
  if (!status.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
