// All weights of a collection of vectors that is too large for the repository, where there is one.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "engine/quant/dequantize.h"
#include "engine/quant/types.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

std::vector<uint8_t> ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// BATON_DEQUANT_VECTORS is a directory that has, by the name of a type in lower case, NAME.raw with
// blocks and NAME.f32 with their weights.
TEST(DequantizeVectorsTest, EveryWeightIsBitEqual) {
  const char* directory = std::getenv("BATON_DEQUANT_VECTORS");
  if (directory == nullptr) GTEST_SKIP() << "BATON_DEQUANT_VECTORS is not set";
  for (const TypeTraits& traits : AllTypeTraits()) {
    SCOPED_TRACE(traits.name);
    const std::string path = std::string(directory) + "/" + absl::AsciiStrToLower(traits.name);
    const std::vector<uint8_t> blocks = ReadBytes(path + ".raw");
    const std::vector<uint8_t> expected = ReadBytes(path + ".f32");
    if (blocks.empty()) continue;
    std::vector<float> weights(blocks.size() / traits.block_bytes * traits.block_elements);
    ASSERT_EQ(expected.size(), 4 * weights.size());
    Dequantize(traits.type, blocks.data(), weights.size(), weights.data());
    size_t equal = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      equal += std::memcmp(&expected[4 * i], &weights[i], sizeof(float)) == 0;
    }
    EXPECT_EQ(equal, weights.size());
    std::printf("%s: %zu of %zu weights bit-equal\n", traits.name, equal, weights.size());
  }
}

}  // namespace
}  // namespace baton
