#include "engine/model/rope.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

RopeSpec SpecOf(int dimensions, float base) {
  RopeSpec spec;
  spec.dimension_count = dimensions;
  spec.frequency_base = base;
  return spec;
}

// Angle and magnitude of each pair at a position, from its cosine and sine.
struct Turn {
  double angle;
  double magnitude;
};
std::vector<Turn> TurnsAt(const RopeSpec& spec, const std::vector<float>& divisors,
                          int64_t position) {
  const absl::StatusOr<Rope> rope = Rope::Create(spec, divisors, 4096);
  EXPECT_TRUE(rope.ok()) << rope.status();
  std::vector<float> cosine(rope->pair_count()), sine(rope->pair_count());
  rope->Fill(position, cosine.data(), sine.data());
  std::vector<Turn> turns;
  for (size_t i = 0; i < cosine.size(); ++i) {
    turns.push_back({std::atan2(sine[i], cosine[i]), std::hypot(sine[i], cosine[i])});
  }
  return turns;
}

TEST(RopeTest, PositionZeroTurnsNothing) {
  const absl::StatusOr<Rope> rope = Rope::Create(SpecOf(8, 10000), {}, 16);
  ASSERT_TRUE(rope.ok());
  std::vector<float> cosine(4), sine(4);
  rope->Fill(0, cosine.data(), sine.data());
  EXPECT_EQ(cosine, std::vector<float>(4, 1.0f));
  EXPECT_EQ(sine, std::vector<float>(4, 0.0f));
}

TEST(RopeTest, FrequenciesFallGeometrically) {
  const std::vector<Turn> turns = TurnsAt(SpecOf(8, 10000), {}, 3);
  const double expected[] = {3.0, 0.3, 0.03, 0.003};
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(turns[i].angle, expected[i], 1e-6);
}

TEST(RopeTest, FarPositionsMeetTheLibrary) {
  const absl::StatusOr<Rope> rope = Rope::Create(SpecOf(64, 500000), {}, 1 << 20);
  ASSERT_TRUE(rope.ok());
  std::vector<float> cosine(32), sine(32);
  const int64_t position = 1000003;
  rope->Fill(position, cosine.data(), sine.data());
  for (int i = 0; i < 32; ++i) {
    const double angle = position * std::pow(500000.0, -2.0 * i / 64);
    EXPECT_NEAR(cosine[i], std::cos(angle), 1e-7) << i;
    EXPECT_NEAR(sine[i], std::sin(angle), 1e-7) << i;
  }
}

TEST(RopeTest, LinearScalingDividesAndDivisorsDivideToo) {
  RopeSpec spec = SpecOf(4, 100);
  spec.scaling = RopeScaling::kLinear;
  spec.factor = 4;
  const std::vector<Turn> turns = TurnsAt(spec, {1.0f, 2.0f}, 2);
  EXPECT_NEAR(turns[0].angle, 2.0 / 4, 1e-7);
  EXPECT_NEAR(turns[1].angle, 2.0 * 0.1 / 2 / 4, 1e-7);
  EXPECT_NEAR(turns[0].magnitude, 1.0, 1e-6);
}

TEST(RopeTest, YarnKeepsFastPairsAndStretchesSlowOnes) {
  RopeSpec spec = SpecOf(64, 10000);
  spec.scaling = RopeScaling::kYarn;
  spec.factor = 8;
  spec.original_context = 2048;
  const std::vector<Turn> turns = TurnsAt(spec, {}, 1);
  // 64 ln(2048 / (2 pi beta)) / (2 ln 10000): 8.06 for beta 32, 20.1 for beta 1; so 8 and 21.
  for (int i = 0; i < 32; ++i) {
    const double plain = std::pow(10000.0, -2.0 * i / 64);
    const double ramp = std::min(1.0, std::max(0.0, (i - 8.0) / (21.0 - 8.0)));
    EXPECT_NEAR(turns[i].angle / plain, ramp / 8 + (1 - ramp), 1e-5) << i;
    EXPECT_NEAR(turns[i].magnitude, 1 + 0.1 * std::log(8.0), 1e-6) << i;
  }
}

TEST(RopeTest, AttentionFactorMultiplies) {
  RopeSpec spec = SpecOf(4, 100);
  spec.attention_factor = 1.5f;
  EXPECT_NEAR(TurnsAt(spec, {}, 7)[0].magnitude, 1.5, 1e-6);
}

TEST(RopeTest, RefusesWhatMakesNoAngle) {
  EXPECT_FALSE(Rope::Create(SpecOf(4, 1.0f), {}, 16).ok());
  EXPECT_FALSE(Rope::Create(SpecOf(4, 100), {1.0f, 0.0f}, 16).ok());
  EXPECT_FALSE(Rope::Create(SpecOf(4, 100), {-1.0f, 1.0f}, 16).ok());
  EXPECT_FALSE(Rope::Create(SpecOf(4, 100), {1e-9f, 1.0f}, 16).ok());
}

}  // namespace
}  // namespace baton
