#include "engine/quant/dequantize.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "engine/quant/blocks.h"
#include "engine/quant/dequantize_test_vectors.h"
#include "engine/quant/half.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(DequantizeTest, EveryTypeIsBitEqualToTheReference) {
  std::set<TensorType> seen;
  for (const DequantizeVector& vector : DequantizeVectors()) {
    const TypeTraits& traits = TraitsOf(vector.type);
    SCOPED_TRACE(traits.name);
    const size_t elements = vector.weights.size();
    ASSERT_EQ(vector.blocks.size(), RowBytes(vector.type, elements));
    std::vector<float> weights(elements);
    Dequantize(vector.type, vector.blocks.data(), elements, weights.data());
    for (size_t i = 0; i < elements; ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(weights[i]), vector.weights[i]) << "weight " << i;
    }
    seen.insert(vector.type);
  }
  for (const TypeTraits& traits : AllTypeTraits()) {
    EXPECT_EQ(seen.contains(traits.type), traits.is_weight) << traits.name;
  }
}

TEST(DequantizeTest, BlocksNeedNoAlignment) {
  for (const DequantizeVector& vector : DequantizeVectors()) {
    SCOPED_TRACE(TraitsOf(vector.type).name);
    std::vector<uint8_t> shifted(vector.blocks.size() + 1);
    std::copy(vector.blocks.begin(), vector.blocks.end(), shifted.begin() + 1);
    std::vector<float> weights(vector.weights.size());
    Dequantize(vector.type, shifted.data() + 1, weights.size(), weights.data());
    EXPECT_EQ(std::bit_cast<uint32_t>(weights.back()), vector.weights.back());
  }
}

// Where the floating-point numbers of a block are.
struct Field {
  TensorType type;
  size_t offset;
  const char* what;
};

constexpr Field kHalfFields[] = {
    {TensorType::kF16, 0, "weight"},      {TensorType::kQ4_0, 0, "scale d"},
    {TensorType::kQ4_1, 0, "scale d"},    {TensorType::kQ4_1, 2, "minimum m"},
    {TensorType::kQ5_0, 0, "scale d"},    {TensorType::kQ5_1, 0, "scale d"},
    {TensorType::kQ5_1, 2, "minimum m"},  {TensorType::kQ8_0, 0, "scale d"},
    {TensorType::kQ2_K, 80, "scale d"},   {TensorType::kQ2_K, 82, "scale dmin"},
    {TensorType::kQ3_K, 108, "scale d"},  {TensorType::kQ4_K, 0, "scale d"},
    {TensorType::kQ4_K, 2, "scale dmin"}, {TensorType::kQ5_K, 0, "scale d"},
    {TensorType::kQ5_K, 2, "scale dmin"}, {TensorType::kQ6_K, 208, "scale d"},
    {TensorType::kIQ1_S, 0, "scale d"},   {TensorType::kIQ2_XXS, 0, "scale d"},
    {TensorType::kIQ2_XS, 0, "scale d"},  {TensorType::kIQ2_S, 0, "scale d"},
    {TensorType::kIQ3_XXS, 0, "scale d"}, {TensorType::kIQ3_S, 0, "scale d"},
    {TensorType::kIQ4_NL, 0, "scale d"},  {TensorType::kIQ4_XS, 0, "scale d"},
    {TensorType::kTQ1_0, 52, "scale d"},  {TensorType::kTQ2_0, 64, "scale d"},
    {TensorType::kQ1_0, 0, "scale d"},    {TensorType::kQ2_0, 0, "scale d"},
};

TEST(DequantizeTest, EveryHalfIsAsHalfToFloatSays) {
  std::vector<uint16_t> halves(1 << 16);
  std::iota(halves.begin(), halves.end(), 0);
  std::vector<float> floats(halves.size());
  Dequantize(TensorType::kF16, reinterpret_cast<const uint8_t*>(halves.data()), halves.size(),
             floats.data());
  for (const uint16_t half : halves) {
    ASSERT_EQ(std::bit_cast<uint32_t>(floats[half]), std::bit_cast<uint32_t>(HalfToFloat(half)))
        << half;
  }
}

struct Bad {
  uint16_t bits;
  const char* what;
};
constexpr Bad kBadHalves[] = {
    {0x7C00, " is inf"}, {0xFC00, " is -inf"}, {0x7E00, " is nan"}, {0xFC01, " is nan"}};

TEST(FindNonFiniteTest, FindsEveryHalf) {
  for (const Field& field : kHalfFields) {
    const TypeTraits& traits = TraitsOf(field.type);
    for (const Bad& bad : kBadHalves) {
      SCOPED_TRACE(std::string(traits.name) + " " + field.what + bad.what);
      constexpr size_t kBlocks = 5, kBadBlock = 3;
      std::vector<uint8_t> blocks(kBlocks * traits.block_bytes, 0x55);
      const size_t elements = kBlocks * traits.block_elements;
      EXPECT_FALSE(FindNonFinite(field.type, blocks.data(), elements).has_value());
      const size_t byte = kBadBlock * traits.block_bytes + field.offset;
      blocks[byte] = static_cast<uint8_t>(bad.bits);
      blocks[byte + 1] = static_cast<uint8_t>(bad.bits >> 8);
      const std::optional<NonFinite> found = FindNonFinite(field.type, blocks.data(), elements);
      ASSERT_TRUE(found.has_value());
      EXPECT_EQ(found->block, kBadBlock);
      EXPECT_EQ(found->byte, byte);
      EXPECT_EQ(found->what, std::string(field.what) + bad.what);
    }
  }
}

TEST(FindNonFiniteTest, FindsFloatsAndBFloats) {
  const std::vector<uint8_t> f32 = {0, 0, 0x80, 0x3F, 0xFF, 0xFF, 0x7F, 0x7F, 0, 0, 0x80, 0xFF};
  EXPECT_FALSE(FindNonFinite(TensorType::kF32, f32.data(), 2).has_value());
  auto found = FindNonFinite(TensorType::kF32, f32.data(), 3);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->block, 2u);
  EXPECT_EQ(found->byte, 8u);
  EXPECT_EQ(found->what, "weight is -inf");

  const std::vector<uint8_t> bf16 = {0x80, 0x3F, 0x7F, 0x7F, 0x81, 0x7F};
  EXPECT_FALSE(FindNonFinite(TensorType::kBF16, bf16.data(), 2).has_value());
  found = FindNonFinite(TensorType::kBF16, bf16.data(), 3);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->byte, 4u);
  EXPECT_EQ(found->what, "weight is nan");
}

TEST(FindNonFiniteTest, FindsExponentsScatteredHalvesAndDoubles) {
  std::vector<uint8_t> mxfp4(3 * 17, 0x77);
  mxfp4[17] = 252;
  EXPECT_FALSE(FindNonFinite(TensorType::kMXFP4, mxfp4.data(), 96).has_value());
  mxfp4[34] = 253;
  auto found = FindNonFinite(TensorType::kMXFP4, mxfp4.data(), 96);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->byte, 34u);
  EXPECT_EQ(found->what, "scale e is inf");
  mxfp4[17] = 255;
  EXPECT_EQ(FindNonFinite(TensorType::kMXFP4, mxfp4.data(), 96)->what, "scale e is nan");

  std::vector<uint8_t> iq1_m(2 * 56, 0x7B);
  EXPECT_FALSE(FindNonFinite(TensorType::kIQ1_M, iq1_m.data(), 512).has_value());
  PackIQ1MScale(0xFC00, &iq1_m[56 + 48]);
  found = FindNonFinite(TensorType::kIQ1_M, iq1_m.data(), 512);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->block, 1u);
  EXPECT_EQ(found->byte, 56u + 48u);
  EXPECT_EQ(found->what, "scale d is -inf");

  const double doubles[] = {1.0, 3e38, 4e38};
  found = FindNonFinite(TensorType::kF64, reinterpret_cast<const uint8_t*>(doubles), 3);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->byte, 16u);
  EXPECT_EQ(found->what, "weight is inf");
}

// Long rows of floats are scanned in runs: a bad one is found wherever it is.
TEST(FindNonFiniteTest, FindsOneAmongMany) {
  constexpr size_t kElements = 1000;
  for (TensorType type : {TensorType::kF32, TensorType::kF16, TensorType::kBF16}) {
    const size_t bytes = TraitsOf(type).block_bytes;
    std::vector<uint8_t> weights(kElements * bytes, 0x3B);
    EXPECT_FALSE(FindNonFinite(type, weights.data(), kElements).has_value());
    for (size_t i = 0; i < kElements; ++i) {
      std::vector<uint8_t> damaged = weights;
      std::fill_n(damaged.begin() + static_cast<long>(i * bytes), bytes, uint8_t{0xFF});
      const std::optional<NonFinite> found = FindNonFinite(type, damaged.data(), kElements);
      ASSERT_TRUE(found.has_value()) << TraitsOf(type).name << " " << i;
      ASSERT_EQ(found->block, i);
      ASSERT_EQ(found->byte, i * bytes);
    }
  }
}

TEST(FindNonFiniteTest, ReportsTheFirst) {
  // Two Q4_1 blocks: m of block 0 and d of block 1.
  std::vector<uint8_t> blocks(2 * 20, 0);
  blocks[3] = 0x7C;
  blocks[20 + 1] = 0x7C;
  auto found = FindNonFinite(TensorType::kQ4_1, blocks.data(), 64);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->what, "minimum m is inf");
  blocks[1] = 0xFE;
  found = FindNonFinite(TensorType::kQ4_1, blocks.data(), 64);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->what, "scale d is nan");
  EXPECT_EQ(found->block, 0u);
}

}  // namespace
}  // namespace baton
