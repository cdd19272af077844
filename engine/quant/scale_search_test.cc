#include "engine/quant/scale_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr LevelRange kFourBits = {-8.0f, 7.0f};

// Sixteen numbers without a pattern, of both signs, none near another's multiple.
std::vector<float> SomeWeights() {
  return {0.31f,  -0.52f, 0.77f,  -0.11f, 0.05f, 0.93f, -0.68f, 0.24f,
          -0.37f, 0.59f,  -0.83f, 0.46f,  0.12f, -1.0f, 0.71f,  -0.29f};
}

float Error(const std::vector<float>& weights, ScaleAndMin fit, LevelRange range) {
  std::vector<float> levels(weights.size());
  return RoundToLevels(weights.data(), static_cast<int>(weights.size()), fit, range, levels.data());
}

// Looks at ten thousand scales, and at every place for the minimum in steps of a hundredth.
TEST(ScaleSearchTest, FindsWhatAFineGridFinds) {
  const std::vector<float> weights = SomeWeights();
  float least = std::numeric_limits<float>::infinity();
  for (int i = 1; i <= 10000; ++i) {
    const float scale = static_cast<float>(i) * 2e-5f;
    least = std::min(
        {least, Error(weights, {scale, 0}, kFourBits), Error(weights, {-scale, 0}, kFourBits)});
  }
  const float scale = FindScale(weights.data(), 16, kFourBits);
  EXPECT_LE(Error(weights, {scale, 0.0f}, kFourBits), 1.01f * least);

  least = std::numeric_limits<float>::infinity();
  for (int i = 1; i <= 1000; ++i) {
    for (int m = 0; m <= 100; ++m) {
      const ScaleAndMin fit = {static_cast<float>(i) * 5e-4f,
                               -1.2f + 0.01f * static_cast<float>(m)};
      least = std::min(least, Error(weights, fit, {0.0f, 7.0f}));
    }
  }
  const ScaleAndMin fit = FindScaleAndMin(weights.data(), 16, 7.0f, true);
  EXPECT_LE(Error(weights, fit, {0.0f, 7.0f}), 1.05f * least);
}

TEST(ScaleSearchTest, FindsTheScaleThatWeightsWereMadeWith) {
  std::vector<float> weights;
  for (int level = 0; level < 16; ++level)
    weights.push_back(0.125f * static_cast<float>(level) - 1);
  const ScaleAndMin fit = FindScaleAndMin(weights.data(), 16, 15.0f, true);
  EXPECT_FLOAT_EQ(fit.scale, 0.125f);
  EXPECT_FLOAT_EQ(fit.min, -1.0f);
  EXPECT_FLOAT_EQ(FindScale(weights.data(), 16, kFourBits), 0.125f);
}

TEST(ScaleSearchTest, MinStaysBelowZeroWhereItMust) {
  const std::vector<float> weights = {1.0f, 1.1f, 1.2f, 1.3f, 1.4f, 1.5f, 1.6f, 1.7f};
  EXPECT_GT(FindScaleAndMin(weights.data(), 8, 15.0f, true).min, 0.9f);
  const ScaleAndMin fit = FindScaleAndMin(weights.data(), 8, 15.0f, false);
  EXPECT_EQ(fit.min, 0.0f);
  EXPECT_NEAR(fit.scale, 1.7f / 15, 0.01f);
}

TEST(ScaleSearchTest, NothingToScale) {
  const std::vector<float> zeros(16, 0.0f);
  const std::vector<float> tiny(16, 1e-30f);
  const std::vector<float> constant(16, -3.0f);
  EXPECT_EQ(FindScale(zeros.data(), 16, kFourBits), 0.0f);
  EXPECT_EQ(FindScale(tiny.data(), 16, kFourBits), 0.0f);
  EXPECT_EQ(FindScaleAndMin(zeros.data(), 16, 15.0f, true).scale, 0.0f);
  const ScaleAndMin fit = FindScaleAndMin(constant.data(), 16, 15.0f, false);
  EXPECT_EQ(fit.scale, 0.0f);
  EXPECT_EQ(fit.min, -3.0f);
  float levels[16];
  EXPECT_EQ(RoundToLevels(constant.data(), 16, fit, {0.0f, 15.0f}, levels), 0.0f);
  EXPECT_EQ(levels[0], 0.0f);
}

}  // namespace
}  // namespace baton
