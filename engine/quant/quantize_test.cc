#include "engine/quant/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/quant/dequantize.h"
#include "engine/testing/random.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr size_t kElements = 256 * 64;

// Bell-shaped, as the weights of trained models are: the sum of twelve uniform numbers.
std::vector<float> BellShaped(uint64_t seed, float deviation) {
  Random random(seed);
  std::vector<float> weights(kElements);
  for (float& weight : weights) {
    for (int i = 0; i < 12; ++i) weight += deviation * random.Uniform(-0.5f, 0.5f);
  }
  return weights;
}

std::vector<float> ThereAndBack(TensorType type, const std::vector<float>& weights) {
  std::vector<uint8_t> blocks(RowBytes(type, weights.size()));
  Quantize(type, weights.data(), weights.size(), blocks.data());
  EXPECT_FALSE(FindNonFinite(type, blocks.data(), weights.size()).has_value());
  std::vector<float> back(weights.size());
  Dequantize(type, blocks.data(), weights.size(), back.data());
  return back;
}

// Root mean square of the error, relative to that of the weights.
double RelativeError(const std::vector<float>& weights, const std::vector<float>& back) {
  double error = 0, sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    error += (back[i] - weights[i]) * (back[i] - weights[i]);
    sum += weights[i] * weights[i];
  }
  return std::sqrt(error / sum);
}

// What the simplest quantizer leaves: the extremes of each group fall on the extreme levels, and
// scales are exact floats.
std::vector<float> NaivelyThereAndBack(const std::vector<float>& weights, size_t group, float most,
                                       bool with_min) {
  std::vector<float> back(weights.size());
  for (size_t at = 0; at < weights.size(); at += group) {
    const auto [least, greatest] =
        std::minmax_element(weights.begin() + at, weights.begin() + at + group);
    const float min = with_min ? *least : 0.0f;
    const float scale = (with_min ? *greatest - min : std::max(-*least, *greatest)) / most;
    for (size_t i = at; i < at + group; ++i) {
      back[i] = scale * std::nearbyint((weights[i] - min) / scale) + min;
    }
  }
  return back;
}

struct Quality {
  TensorType type;
  double bound;      // on the relative error of bell-shaped weights
  size_t group;      // weights that share a scale, and
  float most_level;  // the levels of the naive quantizer to beat; 0: none
  bool with_min;
};

constexpr Quality kQualities[] = {
    {TensorType::kF32, 0.0, 0, 0, false},      {TensorType::kF16, 3e-4, 0, 0, false},
    {TensorType::kBF16, 2e-3, 0, 0, false},    {TensorType::kQ4_0, 0.088, 32, 7, false},
    {TensorType::kQ4_1, 0.077, 32, 15, true},  {TensorType::kQ5_0, 0.042, 32, 15, false},
    {TensorType::kQ5_1, 0.037, 32, 31, true},  {TensorType::kQ8_0, 0.0056, 32, 126, false},
    {TensorType::kQ4_K, 0.077, 32, 15, true},  {TensorType::kQ5_K, 0.037, 32, 31, true},
    {TensorType::kQ6_K, 0.018, 16, 31, false},
};

TEST(QuantizeTest, ErrorIsBelowItsBoundAndThatOfNaiveRounding) {
  for (const Quality& quality : kQualities) {
    SCOPED_TRACE(TraitsOf(quality.type).name);
    for (const float deviation : {0.02f, 30.0f}) {
      const std::vector<float> weights = BellShaped(7, deviation);
      const double error = RelativeError(weights, ThereAndBack(quality.type, weights));
      EXPECT_LE(error, quality.bound);
      if (quality.group == 0) continue;
      EXPECT_LT(error,
                RelativeError(weights, NaivelyThereAndBack(weights, quality.group,
                                                           quality.most_level, quality.with_min)));
    }
  }
}

// What was dequantized from blocks of a type comes back as it was.
TEST(QuantizeTest, BlocksComeBackAsTheyWere) {
  const std::vector<float> weights = BellShaped(3, 0.1f);
  for (const TensorType type :
       {TensorType::kF32, TensorType::kF16, TensorType::kBF16, TensorType::kQ8_0}) {
    SCOPED_TRACE(TraitsOf(type).name);
    const std::vector<float> once = ThereAndBack(type, weights);
    EXPECT_EQ(ThereAndBack(type, once), once);
  }
}

TEST(QuantizeTest, ZerosAndConstants) {
  for (const Quality& quality : kQualities) {
    SCOPED_TRACE(TraitsOf(quality.type).name);
    for (const float value : {0.0f, 1e-30f, -1e-30f}) {
      for (const float back : ThereAndBack(quality.type, std::vector<float>(256, value))) {
        ASSERT_NEAR(back, 0.0f, 1e-29f) << value;
      }
    }
    for (const float value : {0.7f, -0.7f, 1000.0f, -65504.0f}) {
      for (const float back : ThereAndBack(quality.type, std::vector<float>(256, value))) {
        ASSERT_NEAR(back, value, 0.004f * std::abs(value)) << value;
      }
    }
  }
}

// One weight of 256 is far larger than the others, or far smaller.
TEST(QuantizeTest, Outliers) {
  for (const Quality& quality : kQualities) {
    SCOPED_TRACE(TraitsOf(quality.type).name);
    std::vector<float> weights = BellShaped(5, 0.01f);
    for (size_t i = 0; i < weights.size(); i += 256)
      weights[i + 77] = i % 512 == 0 ? 60.0f : -60.0f;
    const std::vector<float> back = ThereAndBack(quality.type, weights);
    for (size_t i = 0; i < weights.size(); i += 256)
      EXPECT_NEAR(back[i + 77], weights[i + 77], 1.0f);
  }
}

TEST(QuantizeTest, UnquantizableWeightsAreFound) {
  const float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> weights(64, 65504.0f);
  for (const Quality& quality : kQualities) {
    SCOPED_TRACE(TraitsOf(quality.type).name);
    const auto find = [&](float value) {
      weights[33] = value;
      return FindUnquantizable(quality.type, weights.data(), weights.size());
    };
    EXPECT_EQ(find(-65504.0f), std::nullopt);
    EXPECT_EQ(find(std::nanf("")), 33u);
    EXPECT_EQ(find(-kInfinity), 33u);
    const bool has_wide_exponent =
        quality.type == TensorType::kF32 || quality.type == TensorType::kBF16;
    EXPECT_EQ(find(65600.0f).has_value(), !has_wide_exponent);
  }
}

TEST(QuantizeTest, SomeTypesAreReadOnly) {
  using enum TensorType;
  for (const TensorType type : {kF32, kF64, kF16, kBF16, kQ4_0, kQ8_0, kQ4_K, kQ6_K}) {
    EXPECT_TRUE(CanQuantize(type)) << TraitsOf(type).name;
  }
  for (const TensorType type : {kQ2_K, kQ3_K, kIQ2_XXS, kMXFP4, kI32}) {
    EXPECT_FALSE(CanQuantize(type)) << TraitsOf(type).name;
  }
}

}  // namespace
}  // namespace baton
