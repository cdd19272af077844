#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "engine/kernels/exp.h"
#include "engine/kernels/scalar/scalar.h"
#include "engine/quant/half.h"

namespace baton::scalar {

float AddLanes(const float (&lanes)[kLanes]) {
  float sum[kLanes];
  std::copy(std::begin(lanes), std::end(lanes), sum);
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    for (int i = 0; i < distance; ++i) sum[i] += sum[i + distance];
  }
  return sum[0];
}

// Rounds 16-bit values to int8 at one step and returns the weighted error.
uint32_t RoundAtStep(const int (&fine)[kActivationBlock], const RoundingStep& step,
                     int8_t* values) {
  uint32_t error = 0;
  for (int i = 0; i < kActivationBlock; ++i) {
    const int t = (fine[i] * step.factor + (1 << 14)) >> 15;
    const int q = (t + 64) >> 7;
    const int e = t - (q << 7);
    error += static_cast<uint32_t>(e * e);
    values[i] = static_cast<int8_t>(q);
  }
  return error * step.weight;
}

// Rounds a block whose largest magnitude is `max`: values and scale.
void QuantizeBlock(const float* x, float max, QuantizedBlock& block) {
  int fine[kActivationBlock];
  const float inverse = kFineMax / max;
  for (int i = 0; i < kActivationBlock; ++i) {
    fine[i] = static_cast<int>(std::nearbyintf(x[i] * inverse));
  }
  uint32_t least = std::numeric_limits<uint32_t>::max();
  for (const RoundingStep& step : kRoundingSteps) {
    int8_t values[kActivationBlock];
    const uint32_t error = RoundAtStep(fine, step, values);
    if (error >= least) continue;
    least = error;
    std::copy(std::begin(values), std::end(values), block.values);
  }
  int products = 0, squares = 0;
  for (int i = 0; i < kActivationBlock; ++i) {
    products += fine[i] * block.values[i];
    squares += block.values[i] * block.values[i];
  }
  block.scale = max * kFineStep * (static_cast<float>(products) / static_cast<float>(squares));
}

void QuantizeRow(const float* x, const QuantizedRows& out, int64_t row) {
  constexpr uint32_t kInfinityBits = 0x7f800000;
  for (int64_t b = 0; b < out.blocks_per_row; ++b) {
    const float* in = x + b * kActivationBlock;
    QuantizedBlock& block = out.blocks[row * out.blocks_per_row + b];
    uint32_t max_bits = 0;  // magnitudes of floats order as their bits do; NaN is above all
    for (int i = 0; i < kActivationBlock; ++i) {
      max_bits = std::max(max_bits, std::bit_cast<uint32_t>(in[i]) & 0x7fffffff);
    }
    block = {};
    if (max_bits >= kInfinityBits) {
      block.scale = std::numeric_limits<float>::quiet_NaN();
    } else if (const float max = std::bit_cast<float>(max_bits); max >= kSmallestActivation) {
      QuantizeBlock(in, max, block);
    }
    for (int i = 0; i < kActivationBlock; ++i) {
      block.half_sums[i / 16] = static_cast<int16_t>(block.half_sums[i / 16] + block.values[i]);
    }
    block.minus_sum = -(block.half_sums[0] + block.half_sums[1]);
    block.scaled_sum = block.scale * static_cast<float>(-block.minus_sum);
  }
}

void RmsNorm(const float* x, const float* weight, float epsilon, int64_t n, float* out) {
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i % kLanes] = std::fma(x[i], x[i], lanes[i % kLanes]);
  const float mean = AddLanes(lanes) / static_cast<float>(n);
  const float scale = 1.0f / std::sqrt(mean + epsilon);
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, int64_t n,
               float* out) {
  float sums[kLanes] = {}, squares[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) sums[i % kLanes] += x[i];
  const float mean = AddLanes(sums) / static_cast<float>(n);
  for (int64_t i = 0; i < n; ++i) {
    const float difference = x[i] - mean;
    squares[i % kLanes] = std::fma(difference, difference, squares[i % kLanes]);
  }
  const float variance = AddLanes(squares) / static_cast<float>(n);
  const float scale = 1.0f / std::sqrt(variance + epsilon);
  for (int64_t i = 0; i < n; ++i) {
    out[i] = (x[i] - mean) * scale * weight[i];
    if (bias != nullptr) out[i] += bias[i];
  }
}

void Add(float* x, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

void AddScaled(float* x, const float* y, float scale, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = std::fma(scale, y[i], x[i]);
}

namespace {

// x sigmoid(y)
float TimesSigmoid(float x, float y) { return x / (1.0f + ExpFloat(-y)); }

float GeluOf(float x) {
  return TimesSigmoid(x, 2 * kGeluSlope * x * std::fma(kGeluCubic, x * x, 1.0f));
}

// A NaN stays one.
float AtMost(float x, float limit) { return limit < x ? limit : x; }
float AtLeast(float x, float limit) { return x < limit ? limit : x; }

}  // namespace

void SiluMultiply(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = TimesSigmoid(gate[i], gate[i]) * up[i];
}

void GeluMultiply(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = GeluOf(gate[i]) * up[i];
}

void Gelu(const float* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = GeluOf(x[i]);
}

void SwigluClampedMultiply(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    const float g = AtMost(gate[i], kClampedSwigluLimit);
    const float u = AtLeast(AtMost(up[i], kClampedSwigluLimit), -kClampedSwigluLimit);
    out[i] = TimesSigmoid(g, kClampedSwigluSlope * g) * (u + 1.0f);
  }
}

void Scale(float* x, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

void SoftCap(float* x, float cap, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = cap * TanhFloat(x[i] / cap);
}

namespace {

// (a, b) turned by an angle: (a cos - b sin, a sin + b cos), the first product of each fused.
void Rotate(float& a, float& b, float cosine, float sine) {
  const float x = a, y = b;
  a = std::fma(x, cosine, -(y * sine));
  b = std::fma(x, sine, y * cosine);
}

}  // namespace

void RopeAdjacent(float* x, const float* cosine, const float* sine, int64_t pair_count) {
  for (int64_t i = 0; i < pair_count; ++i) Rotate(x[2 * i], x[2 * i + 1], cosine[i], sine[i]);
}

void RopeHalves(float* x, const float* cosine, const float* sine, int64_t pair_count) {
  for (int64_t i = 0; i < pair_count; ++i) Rotate(x[i], x[i + pair_count], cosine[i], sine[i]);
}

void ToHalf(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = FloatToHalf(x[i]);
}

}  // namespace baton::scalar
