// The table of AVX-512 kernels. Compiled for AVX-512: no inline code of other libraries may be
// instantiated here, or the linker could keep this copy for CPUs without it.
#include "engine/kernels/avx512/kernels.h"

#include <array>

#include "engine/kernels/avx512/block_lanes.h"
#include "engine/kernels/avx512/f32x16.h"
#include "engine/kernels/avx512/probe.h"
#include "engine/kernels/avx512/quant_matmul.h"
#include "engine/kernels/vector/attention-inl.h"
#include "engine/kernels/vector/float_matmul-inl.h"
#include "engine/kernels/vector/probe-inl.h"
#include "engine/kernels/vector/quantize-inl.h"

namespace baton {
namespace avx512 {
namespace {

template <typename... Units>
constexpr std::array<MatMulFunction, kPackedFormatCount> MatMulFunctions(UnitList<Units...>) {
  return {FloatMatMul<WeightF32>, FloatMatMul<WeightF16>, FloatMatMul<WeightBF16>,
          QuantMatMul<Units>...};
}

}  // namespace
}  // namespace avx512

const Kernels& Avx512Kernels() {
  static const Kernels kernels = {
      .isa = Isa::kAvx512,
      .quantize_row = avx512::QuantizeRow,
      .matmul = avx512::MatMulFunctions(QuantUnits()),
      .rms_norm = avx512::RmsNorm,
      .layer_norm = avx512::LayerNorm,
      .add = avx512::AddVectors,
      .add_scaled = avx512::AddScaled,
      .silu_multiply = avx512::SiluMultiply,
      .gelu_multiply = avx512::GeluMultiply,
      .gelu = avx512::Gelu,
      .swiglu_clamped_multiply = avx512::SwigluClampedMultiply,
      .scale = avx512::Scale,
      .soft_cap = avx512::SoftCap,
      .rope_adjacent = avx512::RopeAdjacent,
      .rope_halves = avx512::RopeHalves,
      .attend = avx512::AttendTile,
      .merge_attention = avx512::MergeTile,
      .to_half = avx512::ToHalf,
      .probe = {avx512::DotInt8, avx512::FmaF32<12>, avx512::ReadMax},
  };
  return kernels;
}

}  // namespace baton
