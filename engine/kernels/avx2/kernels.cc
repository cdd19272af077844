// The table of AVX2 kernels, and with BATON_AVX_VNNI that of AVX-VNNI. Compiled with -mavx2: no
// inline code of other libraries may be instantiated here, or the linker could keep this copy for
// CPUs without AVX2.
#include "engine/kernels/avx2/kernels.h"

#include <array>

#include "engine/kernels/avx2/f32x16.h"
#include "engine/kernels/avx2/probe.h"
#include "engine/kernels/avx2/quant_matmul.h"
#include "engine/kernels/vector/attention-inl.h"
#include "engine/kernels/vector/float_matmul-inl.h"
#include "engine/kernels/vector/probe-inl.h"

namespace baton {
namespace BATON_VECTOR_NAMESPACE {
namespace {

void QuantizeRow(const float* x, const QuantizedRows& out, int64_t row) {
  const __m256i magnitude_mask = _mm256_set1_epi32(0x7fffffff);
  for (int64_t b = 0; b < out.blocks_per_row; ++b) {
    const float* in = x + b * kActivationBlock;
    QuantizedBlock& block = out.blocks[row * out.blocks_per_row + b];
    __m256i max = _mm256_setzero_si256();
    for (int i = 0; i < 4; ++i) {
      max = _mm256_max_epi32(max, _mm256_and_si256(LoadBytes(in + 8 * i), magnitude_mask));
    }
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(max), _mm256_extracti128_si256(max, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
    const int32_t max_bits = _mm_cvtsi128_si32(m);
    float scale = 0, inverse = 0;
    if (max_bits >= 0x7f800000) {
      scale = __builtin_nanf("");
    } else if (const float largest = _mm_cvtss_f32(_mm_castsi128_ps(m));
               largest >= kSmallestActivation) {
      scale = largest / 127.0f;
      inverse = 127.0f / largest;
    }
    const __m256 factor = _mm256_set1_ps(inverse);
    __m256i q[4], sum[2];
    for (int i = 0; i < 4; ++i) {
      q[i] = inverse == 0 ? _mm256_setzero_si256()
                          : _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(in + 8 * i), factor));
    }
    for (int h = 0; h < 2; ++h) sum[h] = _mm256_add_epi32(q[2 * h], q[2 * h + 1]);
    // Packing works within 128-bit lanes; the permutation puts the columns back in order.
    const __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(block.values),
                        _mm256_permutevar8x32_epi32(bytes, order));
    for (int h = 0; h < 2; ++h) {
      __m128i s =
          _mm_add_epi32(_mm256_castsi256_si128(sum[h]), _mm256_extracti128_si256(sum[h], 1));
      s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
      s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
      block.half_sums[h] = static_cast<int16_t>(_mm_cvtsi128_si32(s));
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
