// The table of NEON kernels. Compiled for ARMv8.2 with dot products: no inline code of other
// libraries may be instantiated here, or the linker could keep this copy for CPUs without them.
#include "engine/kernels/neon/kernels.h"

#include <array>

#include "engine/kernels/neon/f32x16.h"
#include "engine/kernels/neon/probe.h"
#include "engine/kernels/neon/quant_matmul.h"
#include "engine/kernels/vector/attention-inl.h"
#include "engine/kernels/vector/float_matmul-inl.h"
#include "engine/kernels/vector/probe-inl.h"

namespace baton {
namespace neon {
namespace {

// The largest bit pattern of the magnitudes of a block; those of NaN are above all others.
uint32_t MaxMagnitudeBits(const float* x) {
  uint32x4_t max = vdupq_n_u32(0);
  for (int i = 0; i < kActivationBlock; i += 4) {
    max = vmaxq_u32(max, vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + i))));
  }
  return vmaxvq_u32(max);
}

// Rounds 16 products to int8 and returns their sum; none is beyond 127.
int16_t QuantizeHalf(const float* x, float factor, int8_t* out) {
  int16x4_t q[4];
  for (int i = 0; i < 4; ++i) {
    q[i] = vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4 * i), factor)));
  }
  const int8x16_t bytes = vcombine_s8(vmovn_s16(vcombine_s16(q[0], q[1])),  //
                                      vmovn_s16(vcombine_s16(q[2], q[3])));
  vst1q_s8(out, bytes);
  return vaddlvq_s8(bytes);
}

void QuantizeRow(const float* x, const QuantizedRows& out, int64_t row) {
  for (int64_t b = 0; b < out.blocks_per_row; ++b) {
    const float* in = x + b * kActivationBlock;
    QuantizedBlock& block = out.blocks[row * out.blocks_per_row + b];
    const uint32_t max_bits = MaxMagnitudeBits(in);
    float scale = 0, inverse = 0;
    if (max_bits >= 0x7f800000) {
      scale = __builtin_nanf("");
    } else if (const float largest = __builtin_bit_cast(float, max_bits);
               largest >= kSmallestActivation) {
      scale = largest / 127.0f;
      inverse = 127.0f / largest;
    }
    for (int h = 0; h < 2; ++h) {
      if (inverse == 0) {
        vst1q_s8(block.values + 16 * h, vdupq_n_s8(0));
        block.half_sums[h] = 0;
      } else {
        block.half_sums[h] = QuantizeHalf(in + 16 * h, inverse, block.values + 16 * h);
      }
    }
    block.scale = scale;
    block.minus_sum = -(block.half_sums[0] + block.half_sums[1]);
    block.scaled_sum = scale * static_cast<float>(-block.minus_sum);
  }
}

template <typename... Units>
constexpr std::array<MatMulFunction, kPackedFormatCount> MatMulFunctions(UnitList<Units...>) {
  return {FloatMatMul<WeightF32>, FloatMatMul<WeightF16>, FloatMatMul<WeightBF16>,
          QuantMatMul<Units>...};
}

}  // namespace
}  // namespace neon

const Kernels& NeonKernels() {
  static const Kernels kernels = {
      .isa = Isa::kNeon,
      .quantize_row = neon::QuantizeRow,
      .matmul = neon::MatMulFunctions(QuantUnits()),
      .rms_norm = neon::RmsNorm,
      .layer_norm = neon::LayerNorm,
      .add = neon::AddVectors,
      .add_scaled = neon::AddScaled,
      .silu_multiply = neon::SiluMultiply,
      .gelu_multiply = neon::GeluMultiply,
      .gelu = neon::Gelu,
      .swiglu_clamped_multiply = neon::SwigluClampedMultiply,
      .scale = neon::Scale,
      .soft_cap = neon::SoftCap,
      .rope_adjacent = neon::RopeAdjacent,
      .rope_halves = neon::RopeHalves,
      .attend = neon::AttendTile,
      .merge_attention = neon::MergeTile,
      .to_half = neon::ToHalf,
      .probe = {neon::DotInt8, neon::FmaF32<6>, neon::ReadMax},
  };
  return kernels;
}

}  // namespace baton
