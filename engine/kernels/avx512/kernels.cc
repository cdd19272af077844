// The table of AVX-512 kernels. Compiled for AVX-512: no inline code of other libraries may be
// instantiated here, or the linker could keep this copy for CPUs without it.
#include "engine/kernels/avx512/kernels.h"

#include <array>

#include "engine/kernels/avx512/f32x16.h"
#include "engine/kernels/avx512/probe.h"
#include "engine/kernels/avx512/quant_matmul.h"
#include "engine/kernels/vector/attention-inl.h"
#include "engine/kernels/vector/float_matmul-inl.h"
#include "engine/kernels/vector/probe-inl.h"

namespace baton {
namespace avx512 {
namespace {

int32_t MaxOf(__m512i x) {
  const __m256i eight =
      _mm256_max_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}

void QuantizeRow(const float* x, const QuantizedRows& out, int64_t row) {
  const __m512i magnitude_mask = _mm512_set1_epi32(0x7fffffff);
  for (int64_t b = 0; b < out.blocks_per_row; ++b) {
    const float* in = x + b * kActivationBlock;
    QuantizedBlock& block = out.blocks[row * out.blocks_per_row + b];
    const __m512i max_bits_lanes =
        _mm512_max_epi32(_mm512_and_si512(_mm512_loadu_si512(in), magnitude_mask),
                         _mm512_and_si512(_mm512_loadu_si512(in + 16), magnitude_mask));
    const int32_t max_bits = MaxOf(max_bits_lanes);
    float scale = 0, inverse = 0;
    if (max_bits >= 0x7f800000) {
      scale = __builtin_nanf("");
    } else if (const float largest = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(max_bits)));
               largest >= kSmallestActivation) {
      scale = largest / 127.0f;
      inverse = 127.0f / largest;
    }
    __m256i values = _mm256_setzero_si256();
    if (inverse != 0) {
      const __m512 factor = _mm512_set1_ps(inverse);
      const __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(in), factor));
      const __m512i high = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(in + 16), factor));
      values = _mm256_set_m128i(_mm512_cvtsepi32_epi8(high), _mm512_cvtsepi32_epi8(low));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(block.values), values);
    // Sums of fours, then of sixteens in each half of the register.
    __m256i sum = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), values);
    sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, 0x4e));
    sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, 0xb1));
    block.half_sums[0] = static_cast<int16_t>(_mm256_extract_epi32(sum, 0));
    block.half_sums[1] = static_cast<int16_t>(_mm256_extract_epi32(sum, 4));
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
