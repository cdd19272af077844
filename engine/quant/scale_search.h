// Finds the numbers with which small whole numbers, *levels*, stand best for a group of weights.
//
// The squared error is to be least. For given levels that is a linear least-squares problem; for
// given scales the best levels follow by rounding. So a row of scales is tried, each from another
// assumption of where the largest weight should fall, and each is replaced by the least-squares
// solution for the levels that it gives. Every weight of a group counts alike: nothing is known of
// the activations that will meet it.
//
// Groups have a multiple of 8 weights, at most 256, none beyond the largest half.
#ifndef BATON_ENGINE_QUANT_SCALE_SEARCH_H_
#define BATON_ENGINE_QUANT_SCALE_SEARCH_H_

namespace baton {

// The levels that a type has, as floats.
struct LevelRange {
  float least;
  float most;
};

// `scale` for weight ~ scale * level; of either sign, and 0 for weights too small to have one.
float FindScale(const float* weights, int count, LevelRange range);

// weight ~ scale * level + min, levels from 0.
struct ScaleAndMin {
  float scale;
  float min;
};
// With `min_above_zero` false min is never positive, as the K types need it.
ScaleAndMin FindScaleAndMin(const float* weights, int count, float most, bool min_above_zero);

// Writes the nearest level of each weight, ties to even (0 where scale is 0), and returns the
// squared error.
float RoundToLevels(const float* weights, int count, ScaleAndMin fit, LevelRange range,
                    float* levels);

}  // namespace baton

#endif  // BATON_ENGINE_QUANT_SCALE_SEARCH_H_
