#include "engine/model/rope.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/deterministic_math.h"

namespace baton {
namespace {

constexpr double kTwoPi = 6.283185307179586;

// How far pair `i` is interpolated: 0 not at all, 1 as with linear scaling.
double YarnRamp(const RopeSpec& spec, int i) {
  const double dimensions = spec.dimension_count;
  const double log_base = Log(spec.frequency_base);
  const auto pair_of = [&](double beta) {
    return dimensions * Log(spec.original_context / (kTwoPi * beta)) / (2 * log_base);
  };
  const double low = std::max(0.0, std::floor(pair_of(spec.yarn_beta_fast)));
  const double high = std::min(dimensions - 1, std::ceil(pair_of(spec.yarn_beta_slow)));
  // Where both fall together the ramp is a step.
  return std::clamp((i - low) / std::max(0.001, high - low), 0.0, 1.0);
}

}  // namespace

absl::StatusOr<Rope> Rope::Create(const RopeSpec& spec, const std::vector<float>& divisors,
                                  uint32_t context_length) {
  Rope rope;
  if (!(spec.frequency_base > 1)) {
    return absl::InvalidArgumentError(absl::StrCat("rope's frequency base is ", spec.frequency_base,
                                                   ", expected a number above 1"));
  }
  const bool scaled = spec.scaling != RopeScaling::kNone;
  for (int i = 0; i < spec.dimension_count / 2; ++i) {
    const double divisor = divisors.empty() ? 1.0 : divisors[i];
    const double exponent = 2.0 * i / spec.dimension_count;
    const double plain = Exp(-exponent * Log(spec.frequency_base)) / divisor;
    const double stretched = scaled ? plain / spec.factor : plain;
    const double ramp = spec.scaling == RopeScaling::kYarn ? YarnRamp(spec, i) : 1.0;
    const double frequency = ramp * stretched + (1.0 - ramp) * plain;
    if (!(divisor > 0) || !(frequency * context_length <= kMaxAngle)) {
      return absl::InvalidArgumentError(
          absl::StrCat("rope turns pair ", i, " by ", frequency, " radians per position (divisor ",
                       divisor, ", factor ", spec.factor,
                       "), expected a positive number of at most ", kMaxAngle / context_length));
    }
    rope.frequencies_.push_back(frequency);
  }
  rope.magnitude_ = spec.attention_factor;
  if (spec.scaling == RopeScaling::kYarn && spec.factor > 1 && spec.yarn_magnitude) {
    rope.magnitude_ *= 1.0 + 0.1 * Log(spec.factor);
  }
  return rope;
}

void Rope::Fill(int64_t position, float* cosine, float* sine) const {
  for (int i = 0; i < pair_count(); ++i) {
    const SineCosine angle = SinCos(position * frequencies_[i]);
    cosine[i] = static_cast<float>(angle.cosine * magnitude_);
    sine[i] = static_cast<float>(angle.sine * magnitude_);
  }
}

}  // namespace baton
