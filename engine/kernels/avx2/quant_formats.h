// How each packed strip comes into AVX2 registers: eight rows at a time, four columns of each as
// the bytes of a 32-bit lane.
#ifndef BATON_ENGINE_KERNELS_AVX2_QUANT_FORMATS_H_
#define BATON_ENGINE_KERNELS_AVX2_QUANT_FORMATS_H_

#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/avx2/f32x16.h"
#include "engine/kernels/packed_layout.h"

namespace baton::BATON_VECTOR_NAMESPACE {

// Scales of eight rows of a strip.
struct Scales {
  __m256 d;        // kScale*: of the strip, sub-scale included; kSub*: of the super-block;
                   // kHalves: of the first half
  __m256 m;        // kScaleMin: what the scaled sum of the activations is multiplied with;
                   // kSubMin: -dmin; kHalves: d of the second half
  __m256i sub[2];  // kSub*: each half's scale, twice as int16 per lane
  __m256i min;     // kSubMin: (min0, min1) as int16 per lane
};

inline __m256i LoadBytes(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
inline __m256 LoadHalves(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline __m256 LoadScales(const uint16_t* p) { return LoadHalves(p); }
inline __m256 LoadScales(const BFloat16* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline __m256 LoadSignedBytes(const int8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline __m256 LoadUnsignedBytes(const uint8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
// Eight signed bytes, each as a pair of equal int16.
inline __m256i LoadPairs(const int8_t* p) {
  const __m256i x = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  return _mm256_or_si256(_mm256_slli_epi32(x, 16), _mm256_and_si256(x, _mm256_set1_epi32(0xffff)));
}

inline __m256i Nibbles(const uint8_t (&nibbles)[4][kQuadBytes], int quad, int at) {
  const __m256i x = LoadBytes(nibbles[quad % 4] + at);
  const __m256i mask = _mm256_set1_epi8(15);
  return quad < 4 ? _mm256_and_si256(x, mask) : _mm256_and_si256(_mm256_srli_epi16(x, 4), mask);
}
// (x << shift) & mask for bytes, where a negative shift goes right. The shift crosses bytes, but
// only by bits that the mask takes away.
inline __m256i ShiftMask(__m256i x, int shift, char mask) {
  const __m256i shifted = shift >= 0 ? _mm256_slli_epi16(x, shift) : _mm256_srli_epi16(x, -shift);
  return _mm256_and_si256(shifted, _mm256_set1_epi8(mask));
}
// The field `bits` of a quad, at bit position `bit` of the result.
inline __m256i Bit(const uint8_t (&bits)[kQuadBytes], int quad, int at, int bit) {
  return ShiftMask(LoadBytes(bits + at), bit - (2 * (quad % 4) + quad / 4),
                   static_cast<char>(1 << bit));
}
inline __m256i Pair(const uint8_t (&pairs)[2][kQuadBytes], int quad, int at, int bit) {
  return ShiftMask(LoadBytes(pairs[quad / 4] + at), bit - 2 * (quad % 4),
                   static_cast<char>(3 << bit));
}

// The values that codes stand for.
template <typename Strip>
[[gnu::always_inline]] inline __m256i LookUp(__m256i codes) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(Strip::kValues));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), codes);
}

// Bytes `at` to `at` + 31 of a quad of weights, signed or as they are stored: rows at / 4 to at / 4
// + 7.
template <typename Strip>
[[gnu::always_inline]] inline __m256i Quad(const Strip& s, int quad, int at) {
  if constexpr (requires { s.quads; }) {
    return LoadBytes(s.quads[quad] + at);
  } else {
    __m256i w = _mm256_setzero_si256();
    int bit = 0;
    if constexpr (requires { s.nibbles; }) {
      w = Nibbles(s.nibbles, quad, at);
      bit = 4;
    }
    if constexpr (requires { s.pairs; }) {
      w = _mm256_or_si256(w, Pair(s.pairs, quad, at, bit));
      bit += 2;
    }
    if constexpr (requires { s.bits; }) w = _mm256_or_si256(w, Bit(s.bits, quad, at, bit));
    if constexpr (requires { Strip::kValues; }) return LookUp<Strip>(w);
    return w;
  }
}

// Scales of rows `row` to `row` + 7.
template <typename Unit>
[[gnu::always_inline]] inline Scales GetScales(const Unit& unit, const typename Unit::Strip& s,
                                               int row) {
  Scales scales = {};
  if constexpr (requires { s.d; }) scales.d = LoadScales(s.d + row);
  if constexpr (requires { s.m; }) scales.m = LoadHalves(s.m + row);
  if constexpr (requires { unit.d; }) scales.d = LoadHalves(unit.d + row);
  if constexpr (requires { s.half_d; }) {
    scales.d = LoadHalves(s.half_d[0] + row);
    scales.m = LoadHalves(s.half_d[1] + row);
  }
  if constexpr (requires { s.kScaleUnit; }) {
    scales.d = _mm256_mul_ps(scales.d, _mm256_set1_ps(s.kScaleUnit));
  }
  if constexpr (requires { s.scale; }) {
    scales.d = _mm256_mul_ps(scales.d, LoadSignedBytes(s.scale + row));
  }
  if constexpr (requires { unit.dmin; }) {
    scales.m = _mm256_xor_ps(LoadHalves(unit.dmin + row), _mm256_set1_ps(-0.0f));
  }
  if constexpr (requires { s.sub_scale; }) {
    scales.d = _mm256_mul_ps(scales.d, LoadUnsignedBytes(s.sub_scale + row));
    scales.m = _mm256_mul_ps(scales.m, LoadUnsignedBytes(s.sub_min + row));
  }
  if constexpr (RuleOf<Unit>() == Rule::kSub) {
    for (int h = 0; h < 2; ++h) scales.sub[h] = LoadPairs(s.sub[h] + row);
  }
  if constexpr (RuleOf<Unit>() == Rule::kSubMin) {
    __m256i min[2];
    for (int h = 0; h < 2; ++h) {
      const __m256i both =
          _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(s.sub[h] + row)));
      const __m256i scale = _mm256_and_si256(both, _mm256_set1_epi32(15));
      scales.sub[h] = _mm256_or_si256(scale, _mm256_slli_epi32(scale, 16));
      min[h] = _mm256_srli_epi32(both, 4);
    }
    scales.min = _mm256_or_si256(min[0], _mm256_slli_epi32(min[1], 16));
  }
  return scales;
}

// Quads whose products may be added up as int16 before they are widened: a run of n adds 2 n
// products of at most max(q) * 127, which must stay within 32767; and where halves of a strip have
// scales of their own, a run ends with its half.
template <typename Unit>
constexpr int QuadsPerRun() {
  constexpr int kMax = MaxMagnitude<typename Unit::Strip>();
  int quads = HasHalves<Unit>() ? 4 : 8;
  while (2 * quads * kMax * 127 > 32767) quads /= 2;
  return quads;
}

}  // namespace baton::BATON_VECTOR_NAMESPACE

#endif  // BATON_ENGINE_KERNELS_AVX2_QUANT_FORMATS_H_
