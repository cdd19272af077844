#include <array>
#include <cmath>
#include <cstddef>
#include <utility>

#include "engine/kernels/packed_block.h"
#include "engine/kernels/scalar/scalar.h"
#include "engine/quant/half.h"

namespace baton::scalar {
namespace {

float FloatWeight(PackedFormat format, const uint8_t* group, int64_t at) {
  if (format == PackedFormat::kF32) return reinterpret_cast<const float*>(group)[at];
  const uint16_t bits = reinterpret_cast<const uint16_t*>(group)[at];
  return format == PackedFormat::kF16 ? HalfToFloat(bits) : BFloat16ToFloat(bits);
}

// One chain of fused multiply-adds, ascending.
float FloatDot(PackedFormat format, const uint8_t* group, int lane, const float* x, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum = std::fma(FloatWeight(format, group, i * kRowGroup + lane), x[i], sum);
  }
  return sum;
}

// What one strip adds to an output: the integer parts are exact, so their order is free; each line
// with a fused multiply-add is one rounding of the contract.
float AddStrip(PackedFormat format, const PackedBlock& w, const QuantizedBlock& x, float sum) {
  const float d = BlockScale(format, w);
  const float m = HalfToFloat(w.m);
  int32_t dot[2] = {0, 0};  // per half of 16 columns
  for (int i = 0; i < kActivationBlock; ++i) dot[i / 16] += w.q[i] * x.values[i];
  switch (format) {
    case PackedFormat::kQ4_0:
    case PackedFormat::kQ5_0:
    case PackedFormat::kQ8_0:
    case PackedFormat::kIQ4_NL:
    case PackedFormat::kMXFP4:
    case PackedFormat::kTernary:
    case PackedFormat::kQ2_0:
    case PackedFormat::kQ1_0:
      return std::fma(static_cast<float>(dot[0] + dot[1]), d * x.scale, sum);
    case PackedFormat::kQ4_1:
    case PackedFormat::kQ5_1:
      sum = std::fma(static_cast<float>(dot[0] + dot[1]), d * x.scale, sum);
      return std::fma(m, x.scaled_sum, sum);
    case PackedFormat::kQ4_K:
    case PackedFormat::kQ5_K:
      sum = std::fma(static_cast<float>(dot[0] + dot[1]), d * w.scale[0] * x.scale, sum);
      return std::fma(-(m * w.min[0]), x.scaled_sum, sum);
    case PackedFormat::kIQ3_XXS:
    case PackedFormat::kIQ3_S:
    case PackedFormat::kIQ4_XS:
      return std::fma(static_cast<float>(dot[0] + dot[1]), d * w.scale[0] * x.scale, sum);
    case PackedFormat::kNVFP4:
      sum = std::fma(static_cast<float>(dot[0]), d * x.scale, sum);
      return std::fma(static_cast<float>(dot[1]), m * x.scale, sum);
    case PackedFormat::kQ3_K:
    case PackedFormat::kQ6_K:
    case PackedFormat::kIQ1:
    case PackedFormat::kIQ2:
      return std::fma(static_cast<float>(w.scale[0] * dot[0] + w.scale[1] * dot[1]), d * x.scale,
                      sum);
    case PackedFormat::kQ2_K:
      sum =
          std::fma(static_cast<float>(w.scale[0] * dot[0] + w.scale[1] * dot[1]), d * x.scale, sum);
      return std::fma(static_cast<float>(w.min[0] * x.half_sums[0] + w.min[1] * x.half_sums[1]),
                      -(m * x.scale), sum);
    case PackedFormat::kF32:
    case PackedFormat::kF16:
    case PackedFormat::kBF16:
      break;
  }
  return sum;
}

}  // namespace

template <PackedFormat kFormat>
void MatMulGroups(const uint8_t* groups, int64_t group_bytes, int64_t group_count,
                  const MatMulRows& rows, float* out, int64_t out_stride) {
  for (int64_t g = 0; g < group_count; ++g) {
    const uint8_t* group = groups + g * group_bytes;
    for (int lane = 0; lane < kRowGroup; ++lane) {
      float* to = out + g * kRowGroup + lane;
      for (int64_t r = 0; r < rows.count; ++r) to[r * out_stride] = 0;
      if (kFormat <= PackedFormat::kBF16) {
        for (int64_t r = 0; r < rows.count; ++r) {
          to[r * out_stride] = FloatDot(
              kFormat, group, lane, rows.floats + (rows.first + r) * rows.columns, rows.columns);
        }
        continue;
      }
      for (int64_t strip = 0; strip < rows.columns / kActivationBlock; ++strip) {
        const QuantizedRows& x = *rows.quantized;
        const PackedBlock block = ReadPackedBlock(kFormat, group, strip, lane);
        for (int64_t r = 0; r < rows.count; ++r) {
          float& sum = to[r * out_stride];
          sum =
              AddStrip(kFormat, block, x.blocks[(rows.first + r) * x.blocks_per_row + strip], sum);
        }
      }
    }
  }
}

}  // namespace baton::scalar

namespace baton {
namespace {

template <size_t... formats>
constexpr std::array<MatMulFunction, kPackedFormatCount> MatMulFunctions(
    std::index_sequence<formats...>) {
  return {scalar::MatMulGroups<static_cast<PackedFormat>(formats)>...};
}

}  // namespace

const Kernels& ScalarKernels() {
  static const Kernels kernels = {
      .isa = Isa::kScalar,
      .quantize_row = scalar::QuantizeRow,
      .matmul = MatMulFunctions(std::make_index_sequence<kPackedFormatCount>()),
      .rms_norm = scalar::RmsNorm,
      .layer_norm = scalar::LayerNorm,
      .add = scalar::Add,
      .add_scaled = scalar::AddScaled,
      .silu_multiply = scalar::SiluMultiply,
      .gelu_multiply = scalar::GeluMultiply,
      .gelu = scalar::Gelu,
      .swiglu_clamped_multiply = scalar::SwigluClampedMultiply,
      .scale = scalar::Scale,
      .soft_cap = scalar::SoftCap,
      .rope_adjacent = scalar::RopeAdjacent,
      .rope_halves = scalar::RopeHalves,
      .attend = scalar::AttendTile,
      .merge_attention = scalar::MergeTile,
      .to_half = scalar::ToHalf,
      // How fast plain C++ multiplies is the compiler's affair: there is no peak to measure.
      .probe = {nullptr, nullptr, scalar::ReadMax},
  };
  return kernels;
}

}  // namespace baton
