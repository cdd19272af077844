#include "engine/kernels/packed_block.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "engine/quant/dequantize.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

std::vector<TensorType> QuantizedTypes() {
  std::vector<TensorType> types;
  for (const TypeTraits& traits : AllTypeTraits()) {
    if (traits.is_weight && traits.block_elements > 1) types.push_back(traits.type);
  }
  return types;
}

// Random bytes are blocks of every type, but for scales that are no numbers: those become zero.
std::vector<uint8_t> RandomRow(TensorType type, int64_t columns, std::mt19937& random) {
  std::vector<uint8_t> bytes(RowBytes(type, columns));
  do {
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    while (const auto bad = FindNonFinite(type, bytes.data(), columns)) {
      const size_t field_bytes = type == TensorType::kIQ1_M ? 8 : 2;
      std::fill_n(bytes.begin() + bad->byte, field_bytes, 0);
    }
  } while (bytes.empty());
  return bytes;
}

TEST(PackedBlockTest, FileBlockToFloatsEqualsDequantize) {
  std::mt19937 random(1);
  for (TensorType type : QuantizedTypes()) {
    const int64_t columns = 512;
    const std::vector<uint8_t> row = RandomRow(type, columns, random);
    std::vector<float> expected(columns), actual(columns);
    Dequantize(type, row.data(), columns, expected.data());
    for (int64_t strip = 0; strip < columns / 32; ++strip) {
      DequantizePackedBlock(PackedFormatOf(type), ReadFileBlock(type, row.data(), strip),
                            actual.data() + strip * 32);
    }
    EXPECT_EQ(std::memcmp(expected.data(), actual.data(), columns * 4), 0) << TraitsOf(type).name;
  }
}

TEST(PackedBlockTest, WrittenBlocksReadBack) {
  std::mt19937 random(2);
  for (TensorType type : QuantizedTypes()) {
    const PackedFormat format = PackedFormatOf(type);
    const int64_t columns = 512;
    std::vector<uint8_t> group(columns / PackedUnitColumns(format) * PackedUnitBytes(format));
    std::vector<std::vector<uint8_t>> rows;
    for (int row = 0; row < kRowGroup; ++row) {
      rows.push_back(RandomRow(type, columns, random));
      for (int64_t strip = 0; strip < columns / 32; ++strip) {
        WritePackedBlock(format, group.data(), strip, row,
                         ReadFileBlock(type, rows[row].data(), strip));
      }
    }
    for (int row = 0; row < kRowGroup; ++row) {
      for (int64_t strip = 0; strip < columns / 32; ++strip) {
        const PackedBlock expected = ReadFileBlock(type, rows[row].data(), strip);
        const PackedBlock actual = ReadPackedBlock(format, group.data(), strip, row);
        ASSERT_EQ(std::memcmp(&expected, &actual, sizeof expected), 0)
            << TraitsOf(type).name << " row " << row << " strip " << strip;
      }
    }
  }
}

}  // namespace
}  // namespace baton
