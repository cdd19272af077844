#include "engine/kernels/exp.h"

#include <bit>
#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(ExpFloatTest, IsWithinTwoUnitsInTheLastPlace) {
  double worst = 0;
  for (float x = -86.9f; x < 88.2f; x += 0.000917f) {
    const double exact = std::exp(static_cast<double>(x));
    const double ulp = std::ldexp(1.0, std::ilogb(exact) - 23);
    worst = std::max(worst, std::abs(ExpFloat(x) - exact) / ulp);
  }
  EXPECT_LT(worst, 2.0);
}

TEST(ExpFloatTest, EndsOfTheRange) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(ExpFloat(0.0f), 1.0f);
  EXPECT_EQ(ExpFloat(-0.0f), 1.0f);
  EXPECT_EQ(ExpFloat(-88.0f), 0.0f);
  EXPECT_EQ(ExpFloat(-infinity), 0.0f);
  EXPECT_EQ(ExpFloat(89.0f), infinity);
  EXPECT_EQ(ExpFloat(infinity), infinity);
  EXPECT_TRUE(std::isnan(ExpFloat(std::numeric_limits<float>::quiet_NaN())));
}

TEST(ExpFloatTest, BitsAreFixed) {
  // The contract: these may change only with its revision.
  EXPECT_EQ(std::bit_cast<uint32_t>(ExpFloat(1.0f)), 0x402df854u);
  EXPECT_EQ(std::bit_cast<uint32_t>(ExpFloat(-10.5f)), std::bit_cast<uint32_t>(2.7536449e-05f));
}

TEST(TanhFloatTest, IsNearTheExactOne) {
  double worst = 0;
  for (float x = -20; x < 20; x += 0.000131f) {
    worst = std::max(worst, std::abs(TanhFloat(x) - std::tanh(static_cast<double>(x))));
    EXPECT_EQ(TanhFloat(-x), -TanhFloat(x));
  }
  EXPECT_LT(worst, 1.2e-7);
}

TEST(TanhFloatTest, EndsOfTheRange) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(std::bit_cast<uint32_t>(TanhFloat(0.0f)), 0u);
  EXPECT_EQ(std::bit_cast<uint32_t>(TanhFloat(-0.0f)), 0u);
  EXPECT_EQ(TanhFloat(infinity), 1.0f);
  EXPECT_EQ(TanhFloat(-3e38f), -1.0f);
  EXPECT_TRUE(std::isnan(TanhFloat(std::numeric_limits<float>::quiet_NaN())));
}

TEST(TanhFloatTest, BitsAreFixed) {
  EXPECT_EQ(std::bit_cast<uint32_t>(TanhFloat(0.5f)), 0x3eec9a9fu);
  EXPECT_EQ(std::bit_cast<uint32_t>(TanhFloat(-1.75f)), 0xbf70fdfdu);
}

TEST(SigmoidFloatTest, IsNearTheExactOne) {
  for (float x = -80; x < 80; x += 0.00917f) {
    const double exact = 1 / (1 + std::exp(-static_cast<double>(x)));
    EXPECT_NEAR(SigmoidFloat(x), exact, 2e-7 * exact);
  }
  EXPECT_EQ(SigmoidFloat(-100), 0.0f);
  EXPECT_EQ(SigmoidFloat(std::numeric_limits<float>::infinity()), 1.0f);
  EXPECT_TRUE(std::isnan(SigmoidFloat(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace baton
