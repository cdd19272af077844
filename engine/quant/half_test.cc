#include "engine/quant/half.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace baton {
namespace {

uint32_t Bits(float value) { return std::bit_cast<uint32_t>(value); }

TEST(HalfTest, KnownValues) {
  EXPECT_EQ(HalfToFloat(0x3C00), 1.0f);
  EXPECT_EQ(HalfToFloat(0xC000), -2.0f);
  EXPECT_EQ(HalfToFloat(0x7BFF), 65504.0f);
  EXPECT_EQ(HalfToFloat(0x0400), 0x1p-14f);
  EXPECT_EQ(HalfToFloat(0x03FF), 0x1.ff8p-15f);
  EXPECT_EQ(HalfToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(Bits(HalfToFloat(0x8000)), 0x80000000u);
  EXPECT_EQ(Bits(HalfToFloat(0x7C00)), 0x7F800000u);
  EXPECT_EQ(Bits(HalfToFloat(0xFE01)), 0xFFC02000u);
}

TEST(HalfTest, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t half = 0; half < 0x10000; ++half) {
    const bool is_nan = (half & 0x7FFF) > 0x7C00;
    const uint32_t expected = is_nan ? half | 0x200 : half;
    ASSERT_EQ(FloatToHalf(HalfToFloat(static_cast<uint16_t>(half))), expected) << half;
  }
}

// The value that a half stands for, by the definition of the format.
TEST(HalfTest, EveryFiniteHalfMeansItsValue) {
  for (uint32_t half = 0; half < 0x10000; ++half) {
    const int exponent = (half >> 10) & 31;
    if (exponent == 31) continue;
    const double mantissa = half & 0x3FF;
    double expected =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    if (half & 0x8000) expected = -expected;
    ASSERT_EQ(HalfToFloat(static_cast<uint16_t>(half)), expected) << half;
  }
}

TEST(HalfTest, RoundsTiesToEven) {
  EXPECT_EQ(FloatToHalf(1.0f + 0x1p-11f), 0x3C00);  // halfway between 1 and 1 + 2^-10
  EXPECT_EQ(FloatToHalf(1.0f + 0x3p-11f), 0x3C02);
  EXPECT_EQ(FloatToHalf(1.0f + 0x1.002p-11f), 0x3C01);
  EXPECT_EQ(FloatToHalf(65519.996f), 0x7BFF);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7C00);
  EXPECT_EQ(FloatToHalf(-1e30f), 0xFC00);
  EXPECT_EQ(FloatToHalf(0x1p-25f), 0x0000);
  EXPECT_EQ(FloatToHalf(0x1.000002p-25f), 0x0001);
  EXPECT_EQ(FloatToHalf(0x1.8p-24f), 0x0002);
  EXPECT_EQ(FloatToHalf(0x1.ffcp-15f), 0x0400);  // the largest denormal rounds up to a normal
  EXPECT_EQ(FloatToHalf(-0.0f), 0x8000);
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) uint16_t HardwareFloatToHalf(float value) {
  return static_cast<uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT));
}

TEST(HalfTest, EqualsTheHardware) {
  if (!__builtin_cpu_supports("f16c")) GTEST_SKIP() << "this CPU has no F16C";
  // All exponents and signs, with mantissas that meet every rounding case: 2^32 / 251 values.
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 251) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(bits));
    ASSERT_EQ(FloatToHalf(value), HardwareFloatToHalf(value)) << std::hex << bits;
  }
  for (uint32_t high = 0; high < 0x80000; ++high) {
    for (uint32_t low : {0x0u, 0x1u, 0xFFFu, 0x1000u, 0x1001u, 0x1FFFu}) {
      const float value = std::bit_cast<float>(high << 13 | low);
      ASSERT_EQ(FloatToHalf(value), HardwareFloatToHalf(value)) << std::hex << high << low;
    }
  }
}
#endif

TEST(BFloat16Test, IsTheUpperHalfOfAFloat) {
  EXPECT_EQ(BFloat16ToFloat(0x3F80), 1.0f);
  EXPECT_EQ(BFloat16ToFloat(0xC2F7), -123.5f);
  EXPECT_EQ(Bits(BFloat16ToFloat(0x0001)), 0x00010000u);
  EXPECT_EQ(Bits(BFloat16ToFloat(0xFF81)), 0xFF810000u);
}

TEST(HalfTest, BFloat16RoundsToNearestEven) {
  EXPECT_EQ(FloatToBFloat16(1.0f), 0x3F80);
  EXPECT_EQ(FloatToBFloat16(std::bit_cast<float>(0x3F808000u)), 0x3F80);
  EXPECT_EQ(FloatToBFloat16(std::bit_cast<float>(0x3F818000u)), 0x3F82);
  EXPECT_EQ(FloatToBFloat16(std::bit_cast<float>(0xBF808001u)), 0xBF81);
  EXPECT_EQ(FloatToBFloat16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_EQ(FloatToBFloat16(std::bit_cast<float>(0x7F800001u)), 0x7FC0);
}

}  // namespace
}  // namespace baton
