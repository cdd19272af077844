// The table of AVX2 kernels, and with BATON_AVX_VNNI that of AVX-VNNI. Compiled with -mavx2: no
// inline code of other libraries may be instantiated here, or the linker could keep this copy for
// CPUs without AVX2.
#include "engine/kernels/avx2/kernels.h"

#include <array>

#include "engine/kernels/avx2/block_lanes.h"
#include "engine/kernels/avx2/f32x16.h"
#include "engine/kernels/avx2/probe.h"
#include "engine/kernels/avx2/quant_matmul.h"
#include "engine/kernels/vector/attention-inl.h"
#include "engine/kernels/vector/float_matmul-inl.h"
#include "engine/kernels/vector/probe-inl.h"
#include "engine/kernels/vector/quantize-inl.h"

namespace baton {
namespace BATON_VECTOR_NAMESPACE {
namespace {

template <typename... Units>
constexpr std::array<MatMulFunction, kPackedFormatCount> MatMulFunctions(UnitList<Units...>) {
  return {FloatMatMul<WeightF32>, FloatMatMul<WeightF16>, FloatMatMul<WeightBF16>,
          QuantMatMul<Units>...};
}

}  // namespace
}  // namespace BATON_VECTOR_NAMESPACE

namespace target = BATON_VECTOR_NAMESPACE;

#ifdef BATON_AVX_VNNI
const Kernels& AvxVnniKernels() {
  constexpr Isa kIsa = Isa::kAvxVnni;
#else
const Kernels& Avx2Kernels() {
  constexpr Isa kIsa = Isa::kAvx2;
#endif
  static const Kernels kernels = {
      .isa = kIsa,
      .quantize_row = target::QuantizeRow,
      .matmul = target::MatMulFunctions(QuantUnits()),
      .rms_norm = target::RmsNorm,
      .layer_norm = target::LayerNorm,
      .add = target::AddVectors,
      .add_scaled = target::AddScaled,
      .silu_multiply = target::SiluMultiply,
      .gelu_multiply = target::GeluMultiply,
      .gelu = target::Gelu,
      .swiglu_clamped_multiply = target::SwigluClampedMultiply,
      .scale = target::Scale,
      .soft_cap = target::SoftCap,
      .rope_adjacent = target::RopeAdjacent,
      .rope_halves = target::RopeHalves,
      .attend = target::AttendTile,
      .merge_attention = target::MergeTile,
      .to_half = target::ToHalf,
      .probe = {target::DotInt8, target::FmaF32<6>, target::ReadMax},
  };
  return kernels;
}

}  // namespace baton
