// Sixteen floats in one AVX-512 register: the lanes of the numeric contract.
// Include only from files compiled for AVX-512 F, BW, DQ, VL and VNNI (or emulating it).
#ifndef BATON_ENGINE_KERNELS_AVX512_F32X16_H_
#define BATON_ENGINE_KERNELS_AVX512_F32X16_H_

#include <cstdint>

#include "engine/kernels/avx512/intrinsics.h"

#define BATON_VECTOR_NAMESPACE avx512

namespace baton::avx512 {

// Sums of attention that are kept in registers at once.
inline constexpr int kAttentionSums = 16;

struct F32x16 {
  __m512 v;
};

inline F32x16 Zero() { return {_mm512_setzero_ps()}; }
inline F32x16 Set1(float x) { return {_mm512_set1_ps(x)}; }
inline F32x16 Load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void Store(float* p, F32x16 x) { _mm512_storeu_ps(p, x.v); }
inline F32x16 Add(F32x16 x, F32x16 y) { return {_mm512_add_ps(x.v, y.v)}; }
inline F32x16 Sub(F32x16 x, F32x16 y) { return {_mm512_sub_ps(x.v, y.v)}; }
inline F32x16 Mul(F32x16 x, F32x16 y) { return {_mm512_mul_ps(x.v, y.v)}; }
inline F32x16 Div(F32x16 x, F32x16 y) { return {_mm512_div_ps(x.v, y.v)}; }
inline F32x16 Max(F32x16 x, F32x16 y) { return {_mm512_max_ps(x.v, y.v)}; }
// x * y + z, rounded once.
inline F32x16 Fma(F32x16 x, F32x16 y, F32x16 z) { return {_mm512_fmadd_ps(x.v, y.v, z.v)}; }
inline F32x16 Negate(F32x16 x) {
  const __m512i sign = _mm512_set1_epi32(static_cast<int32_t>(0x80000000u));
  return {_mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(x.v), sign))};
}

inline __m256i Load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m128i Load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

inline F32x16 LoadHalf(const uint16_t* p) { return {_mm512_cvtph_ps(Load256(p))}; }
inline F32x16 Set1Half(const uint16_t* p) {
  return {_mm512_set1_ps(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(*p))))};
}
inline void StoreHalf(uint16_t* p, F32x16 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT));
}
inline F32x16 LoadBFloat16(const uint16_t* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(Load256(p)), 16))};
}
inline F32x16 LoadInt8(const int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(Load128(p)))};
}

// `below` where x < limit, else `otherwise`.
inline F32x16 SelectBelow(F32x16 x, F32x16 limit, F32x16 below, F32x16 otherwise) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_LT_OQ), otherwise.v, below.v)};
}
// x where x is NaN, else `otherwise`.
inline F32x16 SelectNan(F32x16 x, F32x16 otherwise) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q), otherwise.v, x.v)};
}
// p * 2^n for integral n, by adding n to the exponents.
inline F32x16 ScaleByPowerOf2(F32x16 p, F32x16 n) {
  const __m512i exponent = _mm512_slli_epi32(_mm512_cvtps_epi32(n.v), 23);
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p.v), exponent))};
}

inline __m256 UpperHalf(__m512 x) {
  return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
}
// The tree of the contract: 8 apart, then 4, 2, 1.
inline float AddLanes(F32x16 x) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x.v), UpperHalf(x.v));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline float FirstLane(F32x16 x) { return _mm_cvtss_f32(_mm512_castps512_ps128(x.v)); }
inline float MaxLane(F32x16 x) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(x.v), UpperHalf(x.v));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// (even, odd) lanes of 32 floats, and back.
inline void Deinterleave(const float* p, F32x16* even, F32x16* odd) {
  const __m512 x = _mm512_loadu_ps(p), y = _mm512_loadu_ps(p + 16);
  const __m512i evens =
      _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odds = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  even->v = _mm512_permutex2var_ps(x, evens, y);
  odd->v = _mm512_permutex2var_ps(x, odds, y);
}
inline void Interleave(F32x16 even, F32x16 odd, F32x16* first, F32x16* second) {
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i high =
      _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  first->v = _mm512_permutex2var_ps(even.v, low, odd.v);
  second->v = _mm512_permutex2var_ps(even.v, high, odd.v);
}

}  // namespace baton::avx512

#endif  // BATON_ENGINE_KERNELS_AVX512_F32X16_H_
