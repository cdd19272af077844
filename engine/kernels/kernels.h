// One table of function pointers per instruction set; all tables give the same bits.
//
// The scalar table is the definition: each fast kernel is compared with it bit for bit. Sums that
// run along a vector use kLanes virtual lanes: lane i takes elements i, i + kLanes, ... with fused
// multiply-add in ascending order, then the lanes are added in a fixed tree (8, 4, 2, 1 apart).
// The rules in full stand in numeric_contract.md.
#ifndef BATON_ENGINE_KERNELS_KERNELS_H_
#define BATON_ENGINE_KERNELS_KERNELS_H_

#include <array>
#include <cstdint>

#include "engine/kernels/isa.h"
#include "engine/kernels/probe.h"

namespace baton {

// Virtual lanes of a sum: one AVX-512 register, two of AVX2, four of NEON.
inline constexpr int kLanes = 16;
// Rows of a weight matrix that are interleaved.
inline constexpr int kRowGroup = 16;
// Activations are rounded to int8 in blocks of this many, each with a scale.
inline constexpr int kActivationBlock = 32;

// How a packed group of kRowGroup rows is laid out; packed_layout.h draws each one.
enum class PackedFormat {
  kF32,  // also every quantized type under ActivationMode::kF32
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ1,  // IQ1_S, IQ1_M
  kIQ2,  // IQ2_XXS, IQ2_XS, IQ2_S
  kIQ3_XXS,
  kIQ3_S,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,
  kNVFP4,
  kTernary,  // TQ1_0, TQ2_0
  kQ2_0,
  kQ1_0,
};
inline constexpr int kPackedFormatCount = 24;

// Of GELU and of gpt-oss's gate, as kernels use them.
inline constexpr float kGeluSlope = 0.797884561f;  // sqrt(2 / pi)
inline constexpr float kGeluCubic = 0.044715f;
inline constexpr float kClampedSwigluSlope = 1.702f;
inline constexpr float kClampedSwigluLimit = 7.0f;

// Blocks whose largest magnitude is below this are rounded to zeros: kFineMax / max would overflow.
inline constexpr float kSmallestActivation = 0x1p-100f;
// A block is rounded to 16 bits first, its largest magnitude to this: 8 bits, and 8 behind the
// point.
inline constexpr float kFineMax = 127 * 256;
inline constexpr float kFineStep = 1 / kFineMax;
// Then each of kRoundingSteps makes 8 bits of them, and the one with the least error is taken. Of
// normally distributed values one, two, four and eight steps leave 99, 95, 91 and 90% of the error
// of max / 127, and each costs the same time.
struct RoundingStep {
  int16_t factor;   // (y * factor + 2^14) >> 15 has 7 bits behind the point
  uint32_t weight;  // of the sum of squared errors, in 2^-12: (16384 / factor)^2
};
// Evaluated by the compiler alone: no kernel may share code with another.
consteval RoundingStep MakeRoundingStep(int16_t factor) {
  const int64_t square = int64_t{factor} * factor;
  return {factor, static_cast<uint32_t>(((int64_t{1} << 40) + square / 2) / square)};
}
inline constexpr RoundingStep kRoundingSteps[4] = {MakeRoundingStep(16384), MakeRoundingStep(16256),
                                                   MakeRoundingStep(16128),
                                                   MakeRoundingStep(16000)};
static_assert(kRoundingSteps[3].weight == 4295);

// 32 activations of one row in int8.
struct QuantizedBlock {
  int8_t values[kActivationBlock];  // x / scale, rounded, in [-127, 127]
  float scale;                      // near max |x| / 127
  float scaled_sum;                 // scale * float(sum of values)
  int32_t minus_sum;                // -(sum of values)
  int16_t half_sums[2];  // sums of values by halves of 16: a pair as dot products take it
};

// Rows of activations in int8: blocks[r * blocks_per_row + b].
struct QuantizedRows {
  QuantizedBlock* blocks;
  int64_t blocks_per_row;  // columns / kActivationBlock
};

// Rows [first, first + count) of the input of a product.
struct MatMulRows {
  const float* floats;  // [rows][columns]
  const QuantizedRows* quantized;
  int64_t columns;
  int64_t first;
  int64_t count;
};

// `group_count` packed groups that lie `group_bytes` apart, times some rows:
// out[(row - first) * out_stride + 16 g + j] for group g and lane j. All 16 lanes
// of a group are written.
using MatMulFunction = void (*)(const uint8_t* groups, int64_t group_bytes, int64_t group_count,
                                const MatMulRows& rows, float* out, int64_t out_stride);

struct AttentionTile;  // attention.h

struct Kernels {
  Isa isa;

  // Rounds one row of `columns` floats to int8. A block with a value that is not finite gets the
  // scale NaN and zero values, so that it can't be overlooked downstream.
  void (*quantize_row)(const float* x, const QuantizedRows& out, int64_t row);

  std::array<MatMulFunction, kPackedFormatCount> matmul;  // by PackedFormat

  // out[i] = x[i] * (1 / sqrt(mean(x^2) + epsilon)) * weight[i]
  void (*rms_norm)(const float* x, const float* weight, float epsilon, int64_t n, float* out);
  // out[i] = (x[i] - mean(x)) * (1 / sqrt(mean((x - mean(x))^2) + epsilon)) * weight[i] + bias[i];
  // `bias` may be null.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float epsilon,
                     int64_t n, float* out);
  // x[i] += y[i]
  void (*add)(float* x, const float* y, int64_t n);
  // x[i] += scale * y[i], fused
  void (*add_scaled)(float* x, const float* y, float scale, int64_t n);
  // out[i] = silu(gate[i]) * up[i]; out may be gate.
  void (*silu_multiply)(const float* gate, const float* up, int64_t n, float* out);
  // out[i] = gelu(gate[i]) * up[i], gelu(x) = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
  // (arXiv 1606.08415); out may be gate.
  void (*gelu_multiply)(const float* gate, const float* up, int64_t n, float* out);
  // out[i] = gelu(x[i]); out may be x.
  void (*gelu)(const float* x, int64_t n, float* out);
  // out[i] = g sigmoid(1.702 g) (u + 1), g = min(gate[i], 7), u = up[i] within [-7, 7]
  // (arXiv 2508.10925); out may be gate.
  void (*swiglu_clamped_multiply)(const float* gate, const float* up, int64_t n, float* out);
  // x[i] *= factor
  void (*scale)(float* x, float factor, int64_t n);
  // x[i] = cap tanh(x[i] / cap)
  void (*soft_cap)(float* x, float cap, int64_t n);
  // Rotates pairs (x[2i], x[2i+1]) by the angle whose cosine and sine are given, i < pair_count.
  void (*rope_adjacent)(float* x, const float* cosine, const float* sine, int64_t pair_count);
  // Rotates pairs (x[i], x[i + pair_count]).
  void (*rope_halves)(float* x, const float* cosine, const float* sine, int64_t pair_count);

  // One tile of attention (attention_tile.h): its outs; or the partials of its blocks, where it
  // has some, from which merge_attention makes the outs.
  void (*attend)(const AttentionTile& tile);
  void (*merge_attention)(const AttentionTile& tile);

  // Half floats, rounded to nearest even.
  void (*to_half)(const float* x, int64_t n, uint16_t* out);

  ProbeKernels probe;
};

const Kernels& KernelsFor(Isa isa);

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_KERNELS_H_
