// The AVX-512 intrinsics; or, with BATON_EMULATE_AVX512, the same functions in portable code, so
// that the kernels can be tested bit for bit on a CPU that lacks them.
#ifndef BATON_ENGINE_KERNELS_AVX512_INTRINSICS_H_
#define BATON_ENGINE_KERNELS_AVX512_INTRINSICS_H_

#ifdef BATON_EMULATE_AVX512

#include <cstdint>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>

// What SIMD Everywhere lacks, in halves of AVX2.
namespace baton::avx512 {

struct Halves {
  __m256i low, high;
};
inline Halves Split(__m512i x) {
  alignas(64) int32_t lanes[16];
  _mm512_storeu_si512(lanes, x);
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes + 8))};
}
inline __m512i Join(__m256i low, __m256i high) {
  alignas(64) int32_t lanes[16];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes + 8), high);
  return _mm512_loadu_si512(lanes);
}
inline __m512 Join(__m256 low, __m256 high) {
  return _mm512_castsi512_ps(Join(_mm256_castps_si256(low), _mm256_castps_si256(high)));
}
inline __m256 LowFloats(__m512 x) { return _mm256_castsi256_ps(Split(_mm512_castps_si512(x)).low); }
inline __m256 HighFloats(__m512 x) {
  return _mm256_castsi256_ps(Split(_mm512_castps_si512(x)).high);
}
inline __m128i UpperHalf(__m256i x) { return _mm256_extracti128_si256(x, 1); }

inline __m512 EmulateHalfToFloat(__m256i x) {
  return Join(_mm256_cvtph_ps(_mm256_castsi256_si128(x)), _mm256_cvtph_ps(UpperHalf(x)));
}
inline __m256i EmulateFloatToHalf(__m512 x) {
  return _mm256_set_m128i(_mm256_cvtps_ph(HighFloats(x), _MM_FROUND_TO_NEAREST_INT),
                          _mm256_cvtps_ph(LowFloats(x), _MM_FROUND_TO_NEAREST_INT));
}
inline __m512i EmulateInt8ToInt32(__m128i x) {
  return Join(_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_srli_si128(x, 8)));
}
inline __m512i EmulateUInt8ToInt32(__m128i x) {
  return Join(_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8)));
}
inline __m512i EmulateUInt16ToInt32(__m256i x) {
  return Join(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(x)),
              _mm256_cvtepu16_epi32(UpperHalf(x)));
}
inline __m512 EmulateInt32ToFloat(__m512i x) {
  return Join(_mm256_cvtepi32_ps(Split(x).low), _mm256_cvtepi32_ps(Split(x).high));
}
inline __m512 EmulatePermuteVar(__m512 x, __m512i order) {
  return Join(_mm256_permutevar_ps(LowFloats(x), Split(order).low),
              _mm256_permutevar_ps(HighFloats(x), Split(order).high));
}
inline __m512i EmulateFloatToInt32(__m512 x) {
  return Join(_mm256_cvtps_epi32(LowFloats(x)), _mm256_cvtps_epi32(HighFloats(x)));
}
}  // namespace baton::avx512

#define _mm512_cvtph_ps(x) EmulateHalfToFloat(x)
#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph(x, rounding) EmulateFloatToHalf(x)
#define _mm512_cvtepi8_epi32(x) EmulateInt8ToInt32(x)
#define _mm512_cvtepu8_epi32(x) EmulateUInt8ToInt32(x)
#define _mm512_cvtepu16_epi32(x) EmulateUInt16ToInt32(x)
#define _mm512_cvtepi32_ps(x) EmulateInt32ToFloat(x)
#define _mm512_cvtps_epi32(x) EmulateFloatToInt32(x)
#define _mm512_permutevar_ps(x, order) EmulatePermuteVar(x, order)
#undef _mm512_shuffle_epi32
#define _mm512_shuffle_epi32(x, order)                 \
  Join(_mm256_shuffle_epi32(Split(x).low, int{order}), \
       _mm256_shuffle_epi32(Split(x).high, int{order}))
// Its own alias takes two arguments too many.
#undef _mm512_madd_epi16
#define _mm512_madd_epi16(x, y) simde_mm512_madd_epi16(x, y)

#else

#include <immintrin.h>

#endif

#endif  // BATON_ENGINE_KERNELS_AVX512_INTRINSICS_H_
