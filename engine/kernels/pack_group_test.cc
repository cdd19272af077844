#include "engine/kernels/pack_group.h"

#include <cstring>
#include <random>
#include <vector>

#include "engine/kernels/packed_block.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

struct Case {
  TensorType type;
  std::vector<int64_t> widths;
};
// Widths that are no multiple of what is packed at once, where the type has them.
const Case kCases[] = {
    {TensorType::kF32, {1, 3, 4, 70, 256}}, {TensorType::kF16, {1, 7, 8, 70, 256}},
    {TensorType::kBF16, {5, 8, 70, 256}},   {TensorType::kQ4_0, {32, 64, 576}},
    {TensorType::kQ4_1, {32, 64, 576}},     {TensorType::kQ5_0, {32, 64, 576}},
    {TensorType::kQ5_1, {32, 64, 576}},     {TensorType::kQ8_0, {32, 64, 576}},
    {TensorType::kQ2_K, {256, 768}},        {TensorType::kQ3_K, {256, 768}},
    {TensorType::kQ4_K, {256, 768}},        {TensorType::kQ5_K, {256, 768}},
    {TensorType::kQ6_K, {256, 768}},        {TensorType::kIQ1_S, {256, 768}},
    {TensorType::kIQ1_M, {256, 768}},       {TensorType::kIQ2_XXS, {256, 768}},
    {TensorType::kIQ2_XS, {256, 768}},      {TensorType::kIQ2_S, {256, 768}},
    {TensorType::kIQ3_XXS, {256, 768}},     {TensorType::kIQ3_S, {256, 768}},
    {TensorType::kIQ4_NL, {32, 64, 576}},   {TensorType::kIQ4_XS, {256, 768}},
    {TensorType::kMXFP4, {32, 64, 576}},    {TensorType::kNVFP4, {64, 576}},
    {TensorType::kTQ1_0, {256, 768}},       {TensorType::kTQ2_0, {256, 768}},
    {TensorType::kQ2_0, {64, 576}},         {TensorType::kQ1_0, {128, 640}},
    {TensorType::kF64, {1, 7, 70, 256}},
};

void ExpectEqualToSlow(TensorType type, PackedFormat format, int64_t columns,
                       std::mt19937& random) {
  // Any bytes are a block; packing has no opinion on scales that are no numbers.
  std::vector<uint8_t> rows(kRowGroup * RowBytes(type, columns));
  for (uint8_t& byte : rows) byte = static_cast<uint8_t>(random());
  const int64_t bytes = columns / PackedUnitColumns(format) * PackedUnitBytes(format);
  std::vector<uint8_t> slow(bytes), fast(bytes, 0xa5);
  PackGroupSlowly(type, format, rows.data(), columns, kRowGroup, slow.data());
  PackGroup(type, format, rows.data(), columns, fast.data());
  EXPECT_EQ(slow, fast) << TraitsOf(type).name << ", " << columns << " columns";
}

TEST(PackGroupTest, EveryFormatEqualsTheSlowTwinByteForByte) {
  std::mt19937 random(1);
  for (const Case& c : kCases) {
    for (const int64_t columns : c.widths) {
      ExpectEqualToSlow(c.type, PackedFormatOf(c.type), columns, random);
    }
  }
}

TEST(PackGroupTest, DequantizedGroupsEqualTheSlowTwinByteForByte) {
  std::mt19937 random(2);
  for (const Case& c : kCases) {
    for (const int64_t columns : c.widths) {
      ExpectEqualToSlow(c.type, PackedFormat::kF32, columns, random);
    }
  }
}

}  // namespace
}  // namespace baton
