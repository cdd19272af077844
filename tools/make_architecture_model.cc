// Writes the tiny random model of an architecture's variant: to try it out, or to hand it to
// another program.
//
//   bazel run //tools:make_architecture_model -- gemma2 /tmp/gemma2.gguf
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "engine/testing/architecture_models.h"
#include "tools/command_line.h"

namespace {

std::string CheckName(const std::string& name) {
  return baton::FindArchitectureModel(name) != nullptr
             ? ""
             : "no variant is called \"" + name + "\"; --list prints their names";
}

void PrintNames() {
  for (const baton::ArchitectureModel& variant : baton::AllArchitectureModels()) {
    std::printf("%s\n", variant.name);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes the tiny random model of an architecture's variant.");
  std::string name, out;
  std::optional<uint64_t> seed;
  baton::TinyModelOptions options;
  bool list = false;
  app.add_flag("--list", list, "print the names of the variants and end");
  app.add_option("NAME", name, "of the variant")->check(CheckName);
  app.add_option("FILE", out, "the file to write");
  app.add_option("--seed", seed, "another one than the variant's own");
  app.add_flag("--dequantized", options.dequantized, "all weights in F32, with the same values");
  if (const std::optional<int> code = baton::ParseCommandLine(app, argc, argv)) return *code;
  if (list) {
    PrintNames();
    return 0;
  }
  if (name.empty() || out.empty()) {
    std::fprintf(stderr, "error: expected NAME and FILE, or --list\n");
    return 2;
  }
  const baton::ArchitectureModel& variant = *baton::FindArchitectureModel(name);
  options.seed = seed.value_or(variant.seed);
  return baton::ExitCode(
      baton::WriteArchitectureModel(variant, options, baton::FromWorkingDirectory(out)));
}
