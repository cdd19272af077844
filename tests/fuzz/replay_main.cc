// Runs a fuzz target as an ordinary test: its seeds, each seed cut and with bits turned, and the
// files that are named.
//
//   replay [FILE ...]
//   replay --write-seeds DIRECTORY      for libFuzzer to start from
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_target.h"

namespace {

// Of each seed. Enough to meet every check of a small message; libFuzzer does the rest.
constexpr int kDamagedCopies = 200;

void Run(const std::string& input) {
  // A copy of its own size, so that a sanitizer sees a read beyond it.
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::string Damage(std::string input, std::mt19937& random) {
  if (input.empty()) return input;
  for (unsigned i = 0; i <= random() % 3; ++i) {
    input[random() % input.size()] ^= static_cast<char>(1 << random() % 8);
  }
  if (random() % 4 == 0) input.resize(random() % input.size());
  return input;
}

int WriteSeeds(const std::string& directory) {
  std::filesystem::create_directories(directory);
  int index = 0;
  for (const std::string& seed : baton::FuzzSeeds()) {
    std::ofstream file(directory + "/seed-" + std::to_string(index++), std::ios::binary);
    file << seed;
    if (!file.flush()) return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--write-seeds") return WriteSeeds(argv[2]);
  std::mt19937 random(1);
  int count = 0;
  for (const std::string& seed : baton::FuzzSeeds()) {
    Run(seed);
    for (int i = 0; i < kDamagedCopies; ++i) Run(Damage(seed, random));
    count += 1 + kDamagedCopies;
  }
  for (int i = 1; i < argc; ++i, ++count) {
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "%s cannot be read\n", argv[i]);
      return EXIT_FAILURE;
    }
    Run({std::istreambuf_iterator<char>(file), {}});
  }
  std::printf("%d inputs\n", count);
}
