#include "engine/model/precise_math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(PreciseMathTest, SineAndCosineMeetTheLibrary) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> small(-4.0, 4.0), large(-1e6, 1e6);
  for (int i = 0; i < 200000; ++i) {
    const double x = i % 2 == 0 ? small(random) : large(random);
    const SineCosine got = PreciseSinCos(x);
    ASSERT_NEAR(got.sine, std::sin(x), 4e-16) << x;
    ASSERT_NEAR(got.cosine, std::cos(x), 4e-16) << x;
  }
}

TEST(PreciseMathTest, NearMultiplesOfAQuarterTurnKeepRelativePrecision) {
  for (int n = 1; n < 700000; n += 977) {
    const double x = n * 1.5707963267948966;
    const SineCosine got = PreciseSinCos(x);
    EXPECT_NEAR(got.sine, std::sin(x), 1e-15 * std::abs(std::sin(x))) << x;
    EXPECT_NEAR(got.cosine, std::cos(x), 1e-15 * std::abs(std::cos(x))) << x;
  }
}

TEST(PreciseMathTest, SineOfZeroIsZeroAndLargestAngleIsReduced) {
  EXPECT_EQ(PreciseSinCos(0.0).sine, 0.0);
  EXPECT_EQ(PreciseSinCos(0.0).cosine, 1.0);
  EXPECT_NEAR(PreciseSinCos(16777215.0).sine, std::sin(16777215.0), 4e-16);
  EXPECT_NEAR(PreciseSinCos(kMaxAngle).cosine, std::cos(kMaxAngle), 4e-16);
}

TEST(PreciseMathTest, ExponentialMeetsTheLibrary) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> wide(-700.0, 700.0), small(-1.0, 1.0);
  for (int i = 0; i < 100000; ++i) {
    const double x = i % 2 == 0 ? small(random) : wide(random);
    ASSERT_NEAR(PreciseExp(x) / std::exp(x), 1.0, 1e-15) << x;
  }
  EXPECT_EQ(PreciseExp(0.0), 1.0);
}

TEST(PreciseMathTest, LogarithmMeetsTheLibrary) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> exponent(-600.0, 600.0), near_one(0.5, 2.0);
  for (int i = 0; i < 100000; ++i) {
    const double x = i % 2 == 0 ? near_one(random) : std::exp(exponent(random));
    ASSERT_NEAR(PreciseLog(x), std::log(x), 1e-15 * std::abs(std::log(x))) << x;
  }
  EXPECT_EQ(PreciseLog(1.0), 0.0);
}

// The bits themselves: what another compiler or machine must give as well.
TEST(PreciseMathTest, BitsAreFixed) {
  uint64_t hash = 14695981039346656037u;
  const auto add = [&hash](double x) {
    hash = (hash ^ std::bit_cast<uint64_t>(x)) * 1099511628211u;
  };
  for (int i = 1; i < 1000; ++i) {
    add(PreciseSinCos(i * 37.25).sine);
    add(PreciseSinCos(i * 0.7109375).cosine);
    add(PreciseExp(i * 0.125 - 60.0));
    add(PreciseLog(i * 0.375));
  }
  EXPECT_EQ(hash, 7259008497721297620u);
}

}  // namespace
}  // namespace baton
