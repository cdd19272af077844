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

}  // namespace
}  // namespace baton
