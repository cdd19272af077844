// Sixteen floats in two AVX2 registers: the lanes of the numeric contract.
// Include only from files compiled with -mavx2 -mfma -mf16c. With BATON_AVX_VNNI the same source
// makes a second set of kernels, under a name of its own.
#ifndef BATON_ENGINE_KERNELS_AVX2_F32X16_H_
#define BATON_ENGINE_KERNELS_AVX2_F32X16_H_

#include <immintrin.h>

#include <cstdint>

#ifdef BATON_AVX_VNNI
#define BATON_VECTOR_NAMESPACE avxvnni
#else
#define BATON_VECTOR_NAMESPACE avx2
#endif

namespace baton::BATON_VECTOR_NAMESPACE {

// Sums of attention that are kept in registers at once.
inline constexpr int kAttentionSums = 4;

struct F32x16 {
  __m256 a, b;  // lanes 0..7, 8..15
};

inline F32x16 Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F32x16 Set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F32x16 Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void Store(float* p, F32x16 x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
inline F32x16 Add(F32x16 x, F32x16 y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline F32x16 Sub(F32x16 x, F32x16 y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline F32x16 Mul(F32x16 x, F32x16 y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline F32x16 Div(F32x16 x, F32x16 y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline F32x16 Max(F32x16 x, F32x16 y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
// x * y + z, rounded once.
inline F32x16 Fma(F32x16 x, F32x16 y, F32x16 z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline F32x16 Negate(F32x16 x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(x.a, sign), _mm256_xor_ps(x.b, sign)};
}

inline F32x16 LoadHalf(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
inline F32x16 Set1Half(const uint16_t* p) {
  return Set1(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(*p))));
}
inline void StoreHalf(uint16_t* p, F32x16 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8),
                   _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
inline F32x16 LoadBFloat16(const uint16_t* p) {
  const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(low), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(high), 16))};
}
inline F32x16 LoadInt8(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}

// `below` where x < limit, else `otherwise`.
inline F32x16 SelectBelow(F32x16 x, F32x16 limit, F32x16 below, F32x16 otherwise) {
  return {_mm256_blendv_ps(otherwise.a, below.a, _mm256_cmp_ps(x.a, limit.a, _CMP_LT_OQ)),
          _mm256_blendv_ps(otherwise.b, below.b, _mm256_cmp_ps(x.b, limit.b, _CMP_LT_OQ))};
}
// x where x is NaN, else `otherwise`.
inline F32x16 SelectNan(F32x16 x, F32x16 otherwise) {
  return {_mm256_blendv_ps(otherwise.a, x.a, _mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q)),
          _mm256_blendv_ps(otherwise.b, x.b, _mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q))};
}
// p * 2^n for integral n, by adding n to the exponents.
inline F32x16 ScaleByPowerOf2(F32x16 p, F32x16 n) {
  const __m256i na = _mm256_slli_epi32(_mm256_cvtps_epi32(n.a), 23);
  const __m256i nb = _mm256_slli_epi32(_mm256_cvtps_epi32(n.b), 23);
  return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p.a), na)),
          _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p.b), nb))};
}

// The tree of the contract: 8 apart, then 4, 2, 1.
inline float AddLanes(F32x16 x) {
  const __m256 eight = _mm256_add_ps(x.a, x.b);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline float FirstLane(F32x16 x) { return _mm256_cvtss_f32(x.a); }
inline float MaxLane(F32x16 x) {
  const __m256 eight = _mm256_max_ps(x.a, x.b);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// (even, odd) lanes of 32 floats, and back.
inline void Deinterleave(const float* p, F32x16* even, F32x16* odd) {
  const auto split = [](const float* q, __m256* e, __m256* o) {
    const __m256 x = _mm256_loadu_ps(q), y = _mm256_loadu_ps(q + 8);
    const __m256 l = _mm256_permute2f128_ps(x, y, 0x20), h = _mm256_permute2f128_ps(x, y, 0x31);
    *e = _mm256_shuffle_ps(l, h, 0x88);
    *o = _mm256_shuffle_ps(l, h, 0xdd);
  };
  split(p, &even->a, &odd->a);
  split(p + 16, &even->b, &odd->b);
}
inline void Interleave(F32x16 even, F32x16 odd, F32x16* first, F32x16* second) {
  const auto join = [](__m256 e, __m256 o) -> F32x16 {
    const __m256 l = _mm256_unpacklo_ps(e, o), h = _mm256_unpackhi_ps(e, o);
    return {_mm256_permute2f128_ps(l, h, 0x20), _mm256_permute2f128_ps(l, h, 0x31)};
  };
  *first = join(even.a, odd.a);
  *second = join(even.b, odd.b);
}

}  // namespace baton::BATON_VECTOR_NAMESPACE

#endif  // BATON_ENGINE_KERNELS_AVX2_F32X16_H_
