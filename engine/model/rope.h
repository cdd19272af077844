// Rotary position embedding: the angles, as cosines and sines.
//
// Pair i of d/2 turns by position * f(i), where
//
//   f(i) = base^(-2 i / d) / divisor(i)                         plain, and llama-3's divisors
//   f(i) / factor                                               linear
//   ramp(i) f(i) / factor + (1 - ramp(i)) f(i)                  yarn
//
// Yarn's ramp rises from 0 to 1 between the pairs that make beta_fast and beta_slow full turns over
// the original context, rounded outwards:
//
//   pair(beta) = d ln(original_context / (2 pi beta)) / (2 ln base)
//
// and cosines and sines are multiplied by 1 + 0.1 ln(factor) where factor > 1 (arXiv 2309.00071).
// All of it is computed in double by engine/base/deterministic_math.h and rounded to float once, at
// the end.
#ifndef BATON_ENGINE_MODEL_ROPE_H_
#define BATON_ENGINE_MODEL_ROPE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/model/model_spec.h"

namespace baton {

// Immutable, so thread-safe.
class Rope {
 public:
  // `divisors`: one per pair, or empty. InvalidArgument for numbers that make no angle, or one that
  // is too large to be exact within `context_length` positions.
  static absl::StatusOr<Rope> Create(const RopeSpec& spec, const std::vector<float>& divisors,
                                     uint32_t context_length);
  Rope() = default;

  int pair_count() const { return static_cast<int>(frequencies_.size()); }
  // Writes pair_count() of each. A table of all positions would cost gigabytes for long contexts,
  // and a step needs its own rows' alone, once for all layers. 0 <= position < context_length.
  void Fill(int64_t position, float* cosine, float* sine) const;

 private:
  std::vector<double> frequencies_;  // radians per position
  double magnitude_ = 1.0;
};

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_ROPE_H_
