// The table of NEON kernels. Compiled for ARMv8.2 with dot products: no inline code of other
// libraries may be instantiated here, or the linker could keep this copy for CPUs without them.
#include "engine/kernels/neon/kernels.h"

#include <array>

#include "engine/kernels/neon/block_lanes.h"
#include "engine/kernels/neon/f32x16.h"
#include "engine/kernels/neon/probe.h"
#include "engine/kernels/neon/quant_matmul.h"
#include "engine/kernels/vector/attention-inl.h"
#include "engine/kernels/vector/float_matmul-inl.h"
#include "engine/kernels/vector/probe-inl.h"
#include "engine/kernels/vector/quantize-inl.h"

namespace baton {
namespace neon {
namespace {

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
