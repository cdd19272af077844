// The four 128-bit lanes of an AVX-512 register, for vector/quantize-inl.h.
#ifndef BATON_ENGINE_KERNELS_AVX512_BLOCK_LANES_H_
#define BATON_ENGINE_KERNELS_AVX512_BLOCK_LANES_H_

#include <cstdint>

#include "engine/kernels/avx512/intrinsics.h"
#include "engine/kernels/kernels.h"

namespace baton::avx512 {

inline constexpr int kLaneBlocks = 4;

struct F32Lanes {
  __m512 v;
};
struct I32Lanes {
  __m512i v;
};
struct I16Lanes {
  __m512i v;
};

// Floats `first` to `first` + 3 of each block.
inline F32Lanes LoadFours(const float* const (&x)[kLaneBlocks], int first) {
  __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(x[0] + first));
  v = _mm512_insertf32x4(v, _mm_loadu_ps(x[1] + first), 1);
  v = _mm512_insertf32x4(v, _mm_loadu_ps(x[2] + first), 2);
  return {_mm512_insertf32x4(v, _mm_loadu_ps(x[3] + first), 3)};
}
inline F32Lanes Set1Float(float x) { return {_mm512_set1_ps(x)}; }
inline F32Lanes Mul(F32Lanes x, F32Lanes y) { return {_mm512_mul_ps(x.v, y.v)}; }
inline F32Lanes Div(F32Lanes x, F32Lanes y) { return {_mm512_div_ps(x.v, y.v)}; }
inline I32Lanes AsInt32(F32Lanes x) { return {_mm512_castps_si512(x.v)}; }
inline F32Lanes AsFloats(I32Lanes x) { return {_mm512_castsi512_ps(x.v)}; }
// To nearest even.
inline I32Lanes Round(F32Lanes x) { return {_mm512_cvtps_epi32(x.v)}; }

inline I32Lanes Set1Int32(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline I32Lanes SetFour(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return {_mm512_set4_epi32(static_cast<int>(d), static_cast<int>(c), static_cast<int>(b),
                            static_cast<int>(a))};
}
inline I32Lanes Add(I32Lanes x, I32Lanes y) { return {_mm512_add_epi32(x.v, y.v)}; }
inline I32Lanes Multiply(I32Lanes x, I32Lanes y) { return {_mm512_mullo_epi32(x.v, y.v)}; }
inline I32Lanes And(I32Lanes x, I32Lanes y) { return {_mm512_and_si512(x.v, y.v)}; }
inline I32Lanes Max(I32Lanes x, I32Lanes y) { return {_mm512_max_epi32(x.v, y.v)}; }
inline void Store(I32Lanes x, int32_t* p) { _mm512_storeu_si512(p, x.v); }
// Of the four elements of each lane the largest, or the least unsigned one, in all of them.
inline I32Lanes LargestOfFour(I32Lanes x) {
  const __m512i two = _mm512_max_epi32(x.v, _mm512_shuffle_epi32(x.v, _MM_PERM_BADC));
  return {_mm512_max_epi32(two, _mm512_shuffle_epi32(two, _MM_PERM_CDAB))};
}
inline I32Lanes LeastOfFour(I32Lanes x) {
  const __m512i two = _mm512_min_epu32(x.v, _mm512_shuffle_epi32(x.v, _MM_PERM_BADC));
  return {_mm512_min_epu32(two, _mm512_shuffle_epi32(two, _MM_PERM_CDAB))};
}
// Per lane the sum of the elements of each of four.
inline I32Lanes SumsOfFour(const I32Lanes (&x)[4]) {
  const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(x[0].v, x[1].v),
                                      _mm512_unpackhi_epi32(x[0].v, x[1].v));
  const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(x[2].v, x[3].v),
                                      _mm512_unpackhi_epi32(x[2].v, x[3].v));
  return {_mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))};
}
// Elements of `table` by number within the lane.
inline I32Lanes Lookup(I32Lanes table, I32Lanes numbers) {
  return {_mm512_castps_si512(_mm512_permutevar_ps(_mm512_castsi512_ps(table.v), numbers.v))};
}

inline I16Lanes Set1Int16(int16_t x) { return {_mm512_set1_epi16(x)}; }
inline I16Lanes AsInt16(I32Lanes x) { return {x.v}; }
inline I16Lanes Pack(I32Lanes x, I32Lanes y) { return {_mm512_packs_epi32(x.v, y.v)}; }
inline I16Lanes Add(I16Lanes x, I16Lanes y) { return {_mm512_add_epi16(x.v, y.v)}; }
// (x * y + 2^14) >> 15
inline I16Lanes MultiplyRound(I16Lanes x, I16Lanes y) { return {_mm512_mulhrs_epi16(x.v, y.v)}; }
inline I16Lanes ShiftRight7(I16Lanes x) { return {_mm512_srai_epi16(x.v, 7)}; }
inline I16Lanes SignExtend7(I16Lanes x) {
  // ((x & 127) ^ 64) - 64: shifts have fewer ports.
  const __m512i sign = _mm512_set1_epi16(64);
  constexpr int kAndXor = 0x6a;
  return {_mm512_sub_epi16(_mm512_ternarylogic_epi32(x.v, _mm512_set1_epi16(127), sign, kAndXor),
                           sign)};
}
// Products of elements, added up in pairs.
inline I32Lanes AddDot(I32Lanes sums, I16Lanes x, I16Lanes y) {
  return {_mm512_add_epi32(sums.v, _mm512_madd_epi16(x.v, y.v))};
}
// The 32 values of each block, all within int8.
inline void StoreBytes(const I16Lanes (&x)[4], QuantizedBlock* const (&out)[kLaneBlocks]) {
  for (int h = 0; h < 2; ++h) {
    const __m512i bytes = _mm512_packs_epi16(x[2 * h].v, x[2 * h + 1].v);
    const auto to = [&](int b) { return reinterpret_cast<__m128i*>(out[b]->values + 16 * h); };
    _mm_storeu_si128(to(0), _mm512_castsi512_si128(bytes));
    _mm_storeu_si128(to(1), _mm512_extracti32x4_epi32(bytes, 1));
    _mm_storeu_si128(to(2), _mm512_extracti32x4_epi32(bytes, 2));
    _mm_storeu_si128(to(3), _mm512_extracti32x4_epi32(bytes, 3));
  }
}

}  // namespace baton::avx512

#endif  // BATON_ENGINE_KERNELS_AVX512_BLOCK_LANES_H_
