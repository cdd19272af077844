#include "engine/base/deterministic_math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTolerance = 1e-15;

void ExpectExpClose(double x) {
  const double expected = std::exp(x);
  const double tolerance =
      std::max(kTolerance * expected, std::numeric_limits<double>::denorm_min());
  EXPECT_NEAR(Exp(x), expected, tolerance) << x;
}

void ExpectLogClose(double x) {
  const double expected = std::log(x);
  EXPECT_NEAR(Log(x), expected, kTolerance * std::abs(expected)) << x;
}

TEST(ExpTest, MeetsLibmOverTheWholeRange) {
  for (double x = -744.5; x < 709.7; x += 0.0371) ExpectExpClose(x);
  for (double x = -1.5; x < 1.5; x += 0.00013) ExpectExpClose(x);
  for (double x = 1; x > 1e-300; x *= 0.37) {
    ExpectExpClose(x);
    ExpectExpClose(-x);
  }
}

TEST(ExpTest, HasExactAndSpecialValues) {
  EXPECT_EQ(Exp(0.0), 1.0);
  EXPECT_EQ(Exp(-0.0), 1.0);
  EXPECT_EQ(Exp(kInfinity), kInfinity);
  EXPECT_EQ(Exp(-kInfinity), 0.0);
  EXPECT_EQ(Exp(710.0), kInfinity);
  EXPECT_EQ(Exp(-746.0), 0.0);
  EXPECT_GT(Exp(-745.0), 0.0);
  EXPECT_LT(Exp(709.78), kInfinity);
  EXPECT_TRUE(std::isnan(Exp(std::nan(""))));
}

TEST(ExpTest, IsMonotoneWhereItsReductionSteps) {
  for (int k = -20; k <= 20; ++k) {
    const double edge = (k + 0.5) * std::log(2.0);
    EXPECT_LE(Exp(std::nextafter(edge, -kInfinity)),
              Exp(std::nextafter(edge, kInfinity)) * (1 + 4e-16))
        << k;
  }
}

TEST(LogTest, MeetsLibmOverTheWholeRange) {
  ExpectLogClose(5e-324);
  for (double x = 1e-321; x < 1e308; x *= 1.0173) ExpectLogClose(x);
  for (double x = 0.4; x < 2.6; x += 0.000137) ExpectLogClose(x);
  for (double step = 0.5; step > 1e-16; step *= 0.43) {
    ExpectLogClose(1 + step);
    ExpectLogClose(1 - step);
  }
}

TEST(LogTest, HasExactAndSpecialValues) {
  EXPECT_EQ(Log(1.0), 0.0);
  EXPECT_EQ(Log(0.0), -kInfinity);
  EXPECT_EQ(Log(-0.0), -kInfinity);
  EXPECT_EQ(Log(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(Log(-1.0)));
  EXPECT_TRUE(std::isnan(Log(-kInfinity)));
  EXPECT_TRUE(std::isnan(Log(std::nan(""))));
}

TEST(DeterministicMathTest, GivesTheBitsWrittenDown) {
  // Figures of this very code: a compiler that fuses or reorders changes them.
  EXPECT_EQ(Exp(1.0), 0x1.5bf0a8b14576ap+1);
  EXPECT_EQ(Log(10.0), 0x1.26bb1bbb55516p+1);
  EXPECT_EQ(Log(Exp(-3.25)), -3.25);
}

TEST(DeterministicMathTest, SineAndCosineMeetTheLibrary) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> small(-4.0, 4.0), large(-1e6, 1e6);
  for (int i = 0; i < 200000; ++i) {
    const double x = i % 2 == 0 ? small(random) : large(random);
    const SineCosine got = SinCos(x);
    ASSERT_NEAR(got.sine, std::sin(x), 4e-16) << x;
    ASSERT_NEAR(got.cosine, std::cos(x), 4e-16) << x;
  }
}

TEST(DeterministicMathTest, NearMultiplesOfAQuarterTurnKeepRelativePrecision) {
  for (int n = 1; n < 700000; n += 977) {
    const double x = n * 1.5707963267948966;
    const SineCosine got = SinCos(x);
    EXPECT_NEAR(got.sine, std::sin(x), 1e-15 * std::abs(std::sin(x))) << x;
    EXPECT_NEAR(got.cosine, std::cos(x), 1e-15 * std::abs(std::cos(x))) << x;
  }
}

TEST(DeterministicMathTest, SineOfZeroIsZeroAndLargestAngleIsReduced) {
  EXPECT_EQ(SinCos(0.0).sine, 0.0);
  EXPECT_EQ(SinCos(0.0).cosine, 1.0);
  EXPECT_NEAR(SinCos(16777215.0).sine, std::sin(16777215.0), 4e-16);
  EXPECT_NEAR(SinCos(kMaxAngle).cosine, std::cos(kMaxAngle), 4e-16);
}

// The bits themselves: what another compiler or machine must give as well.
TEST(DeterministicMathTest, BitsAreFixed) {
  uint64_t hash = 14695981039346656037u;
  const auto add = [&hash](double x) {
    hash = (hash ^ std::bit_cast<uint64_t>(x)) * 1099511628211u;
  };
  for (int i = 1; i < 1000; ++i) {
    add(SinCos(i * 37.25).sine);
    add(SinCos(i * 0.7109375).cosine);
    add(Exp(i * 0.125 - 60.0));
    add(Log(i * 0.375));
  }
  EXPECT_EQ(hash, 8590553616740089053u);
}

}  // namespace
}  // namespace baton
