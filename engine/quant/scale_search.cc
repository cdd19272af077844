#include "engine/quant/scale_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/quant/lane_sum.h"

namespace baton {
namespace {

constexpr int kMaxGroup = 256;

// Scales are stored as halves; half of the smallest one rounds to 0.
constexpr float kSmallestWeight = 0x1p-25f;

// Where the largest weight may fall: from kFirstShift levels inside the range, outwards.
constexpr float kShiftStep = 0.1f;
constexpr int kShifts = 20;
constexpr float kFirstShift = -1.0f;
// Rounds of least squares after the best shift is found; they end by themselves when nothing
// improves.
constexpr int kPolishRounds = 4;

// Added and subtracted, it rounds numbers below 2^22 to whole ones, ties to even.
constexpr float kRoundingShift = 0x1.8p23f;

float NearestLevel(float value, LevelRange range) {
  const float clamped = std::min(std::max(value, range.least), range.most);
  return (clamped + kRoundingShift) - kRoundingShift;
}

void AssignLevels(const float* weights, int count, float inverse, float min, LevelRange range,
                  float* levels) {
  for (int i = 0; i < count; ++i) levels[i] = NearestLevel((weights[i] - min) * inverse, range);
}

// A candidate: the larger `gain`, the smaller the squared error.
struct ScaleFit {
  float scale = 0.0f;
  float gain = 0.0f;
};

ScaleFit SolveScale(const float* weights, const float* levels, int count) {
  const float products = LaneSum(count, [&](int i) { return weights[i] * levels[i]; });
  const float squares = LaneSum(count, [&](int i) { return levels[i] * levels[i]; });
  if (squares == 0.0f) return {};
  return {products / squares, products * products / squares};
}

float SquaredError(const float* weights, const float* levels, int count, ScaleAndMin fit) {
  return LaneSum(count, [&](int i) {
    const float error = fit.scale * levels[i] + fit.min - weights[i];
    return error * error;
  });
}

// The least-squares solution for these levels, which are not all the same.
ScaleAndMin SolveScaleAndMin(const float* weights, float weight_sum, const float* levels, int count,
                             bool min_above_zero) {
  const auto n = static_cast<float>(count);
  const float level_sum = LaneSum(count, [&](int i) { return levels[i]; });
  const float squares = LaneSum(count, [&](int i) { return levels[i] * levels[i]; });
  const float products = LaneSum(count, [&](int i) { return levels[i] * weights[i]; });
  const float determinant = n * squares - level_sum * level_sum;
  ScaleAndMin fit;
  fit.scale = (n * products - level_sum * weight_sum) / determinant;
  fit.min = (squares * weight_sum - level_sum * products) / determinant;
  if (fit.min > 0.0f && !min_above_zero) fit = {products / squares, 0.0f};
  return fit;
}

}  // namespace

float FindScale(const float* weights, int count, LevelRange range) {
  float largest = 0.0f;
  for (int i = 0; i < count; ++i) {
    if (std::abs(weights[i]) > std::abs(largest)) largest = weights[i];
  }
  if (std::abs(largest) < kSmallestWeight) return 0.0f;
  float levels[kMaxGroup];
  ScaleFit best;
  const auto try_inverse = [&](float inverse) {
    AssignLevels(weights, count, inverse, 0.0f, range, levels);
    const ScaleFit found = SolveScale(weights, levels, count);
    if (!(found.gain > best.gain)) return false;
    best = found;
    return true;
  };
  // The least level is one further from 0 than the most, so the largest weight goes there.
  for (int shift = 0; shift < kShifts; ++shift) {
    const float outwards = kFirstShift + kShiftStep * static_cast<float>(shift);
    try_inverse((range.least - outwards) / largest);
  }
  for (int i = 0; i < kPolishRounds && try_inverse(1.0f / best.scale); ++i) {
  }
  return best.scale;
}

ScaleAndMin FindScaleAndMin(const float* weights, int count, float most, bool min_above_zero) {
  const auto [least_weight, most_weight] = std::minmax_element(weights, weights + count);
  const float min = min_above_zero ? *least_weight : std::min(*least_weight, 0.0f);
  const float spread = *most_weight - min;
  if (spread < kSmallestWeight) return {0.0f, min};
  const float weight_sum = LaneSum(count, [&](int i) { return weights[i]; });
  const LevelRange range = {0.0f, most};
  float levels[kMaxGroup];
  ScaleAndMin best = {spread / most, min};
  float least_error = std::numeric_limits<float>::infinity();
  const auto try_fit = [&](float inverse, float from) {
    AssignLevels(weights, count, inverse, from, range, levels);
    const ScaleAndMin fit = SolveScaleAndMin(weights, weight_sum, levels, count, min_above_zero);
    const float error = SquaredError(weights, levels, count, fit);
    if (!(error < least_error)) return false;
    best = fit;
    least_error = error;
    return true;
  };
  for (int shift = 0; shift < kShifts; ++shift) {
    const float outwards = kFirstShift + kShiftStep * static_cast<float>(shift);
    try_fit((most + outwards) / spread, min);
  }
  for (int i = 0; i < kPolishRounds && try_fit(1.0f / best.scale, best.min); ++i) {
  }
  return best;
}

float RoundToLevels(const float* weights, int count, ScaleAndMin fit, LevelRange range,
                    float* levels) {
  const float inverse = fit.scale == 0.0f ? 0.0f : 1.0f / fit.scale;
  AssignLevels(weights, count, inverse, fit.min, range, levels);
  return SquaredError(weights, levels, count, fit);
}

}  // namespace baton
