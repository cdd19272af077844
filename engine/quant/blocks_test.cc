#include "engine/quant/blocks.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

// Six-bit numbers packed by the rule of the format, one at a time.
TEST(BlocksTest, Q3KScalesUnpackWhatWasPacked) {
  for (int j = 0; j < 16; ++j) {
    for (int value = 0; value < 64; ++value) {
      uint8_t packed[12] = {};
      packed[j % 8] = static_cast<uint8_t>((value & 15) << (j < 8 ? 0 : 4));
      packed[8 + j % 4] = static_cast<uint8_t>((value >> 4) << (j / 4 * 2));
      int8_t scales[16];
      UnpackQ3KScales(packed, scales);
      for (int k = 0; k < 16; ++k) EXPECT_EQ(scales[k], (k == j ? value : 0) - 32) << j << " " << k;
    }
  }
}

TEST(BlocksTest, Q4KScalesUnpackWhatWasPacked) {
  for (int j = 0; j < 8; ++j) {
    for (int value = 0; value < 64; ++value) {
      const int min = 63 - value;
      uint8_t packed[12] = {};
      if (j < 4) {
        packed[j] = static_cast<uint8_t>(value);
        packed[4 + j] = static_cast<uint8_t>(min);
      } else {
        packed[4 + j] = static_cast<uint8_t>((value & 15) | (min & 15) << 4);
        packed[j - 4] = static_cast<uint8_t>(value >> 4 << 6);
        packed[j] = static_cast<uint8_t>(min >> 4 << 6);
      }
      uint8_t scales[8], mins[8];
      UnpackQ4KScales(packed, scales, mins);
      for (int k = 0; k < 8; ++k) {
        EXPECT_EQ(scales[k], k == j ? value : 0) << j << " " << k;
        EXPECT_EQ(mins[k], k == j ? min : 0) << j << " " << k;
      }
    }
  }
}

TEST(BlocksTest, Q4KScalesComeBackAsTheyWerePacked) {
  const uint8_t scales[8] = {0, 63, 21, 42, 63, 0, 17, 48};
  const uint8_t mins[8] = {63, 1, 2, 40, 15, 16, 33, 62};
  uint8_t packed[12];
  PackQ4KScales(scales, mins, packed);
  uint8_t found_scales[8], found_mins[8];
  UnpackQ4KScales(packed, found_scales, found_mins);
  for (int j = 0; j < 8; ++j) {
    EXPECT_EQ(found_scales[j], scales[j]) << j;
    EXPECT_EQ(found_mins[j], mins[j]) << j;
  }
}

TEST(BlocksTest, ScalesOfFP4) {
  // 2^(e - 128) in a bfloat16, from its denormals to its largest power of two.
  EXPECT_EQ(UnpackMXFP4Scale(0), 0x0020);
  EXPECT_EQ(UnpackMXFP4Scale(1), 0x0040);
  EXPECT_EQ(UnpackMXFP4Scale(2), 0x0080);
  EXPECT_EQ(UnpackMXFP4Scale(128), 0x3f80);
  EXPECT_EQ(UnpackMXFP4Scale(255), 0x7f00);
  // Halves of 0, 2^-9 (the least), 7 * 2^-9, 1, 448 (the largest); and what is no number.
  EXPECT_EQ(UnpackNVFP4Scale(0x00), 0x0000);
  EXPECT_EQ(UnpackNVFP4Scale(0x01), 0x1400);
  EXPECT_EQ(UnpackNVFP4Scale(0x07), 0x1f00);
  EXPECT_EQ(UnpackNVFP4Scale(0x38), 0x3800);
  EXPECT_EQ(UnpackNVFP4Scale(0xfe), 0x5b00);
  EXPECT_EQ(UnpackNVFP4Scale(0x7f), 0x0000);
}

}  // namespace
}  // namespace baton
