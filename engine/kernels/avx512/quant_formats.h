// How each packed strip comes into AVX-512 registers: sixteen rows at a time, four columns of each
// as the bytes of a 32-bit lane.
#ifndef BATON_ENGINE_KERNELS_AVX512_QUANT_FORMATS_H_
#define BATON_ENGINE_KERNELS_AVX512_QUANT_FORMATS_H_

#include <cstdint>

#include "engine/kernels/avx512/f32x16.h"
#include "engine/kernels/packed_layout.h"

namespace baton::avx512 {

// Scales of the sixteen rows of a strip.
struct Scales {
  F32x16 d;       // kScale*: of the strip, sub-scale included; kSub*: of the super-block;
                  // kHalves: of the first half
  F32x16 m;       // kScaleMin: what the scaled sum of the activations is multiplied with;
                  // kSubMin: -dmin; kHalves: d of the second half
  F32x16 sub[2];  // kSub*: each half's scale
  __m512i min;    // kSubMin: (min0, min1) as int16 per lane
};

inline F32x16 ToFloats(__m512i x) { return {_mm512_cvtepi32_ps(x)}; }
inline F32x16 LoadUnsignedBytes(const uint8_t* p) {
  return ToFloats(_mm512_cvtepu8_epi32(Load128(p)));
}

inline __m512i SetInt(int32_t x) { return _mm512_set1_epi32(x); }
// Per lane: sum + the dot product of four unsigned bytes of w and four signed ones of x.
inline __m512i AddDots(__m512i sum, __m512i w, __m512i x) { return _mm512_dpbusd_epi32(sum, w, x); }

inline __m512i LoadQuad(const void* p) { return _mm512_loadu_si512(p); }
inline __m512i Nibbles(const uint8_t (&nibbles)[4][kQuadBytes], int quad) {
  const __m512i x = LoadQuad(nibbles[quad % 4]);
  const __m512i mask = _mm512_set1_epi8(15);
  return quad < 4 ? _mm512_and_si512(x, mask) : _mm512_and_si512(_mm512_srli_epi16(x, 4), mask);
}
// (x << shift) & mask for bytes, where a negative shift goes right. The shift crosses bytes, but
// only by bits that the mask takes away.
inline __m512i ShiftMask(__m512i x, int shift, char mask) {
  const __m512i shifted = shift >= 0 ? _mm512_slli_epi16(x, static_cast<unsigned>(shift))
                                     : _mm512_srli_epi16(x, static_cast<unsigned>(-shift));
  return _mm512_and_si512(shifted, _mm512_set1_epi8(mask));
}
// The field of a quad, at bit position `bit` of the result.
inline __m512i Bit(const uint8_t (&bits)[kQuadBytes], int quad, int bit) {
  return ShiftMask(LoadQuad(bits), bit - (2 * (quad % 4) + quad / 4), static_cast<char>(1 << bit));
}
inline __m512i Pair(const uint8_t (&pairs)[2][kQuadBytes], int quad, int bit) {
  return ShiftMask(LoadQuad(pairs[quad / 4]), bit - 2 * (quad % 4), static_cast<char>(3 << bit));
}

// What is added to weights to make them unsigned: vpdpbusd wants them so. Signed bytes become
// unsigned by turning their highest bit.
template <typename Strip>
constexpr int OffsetOf() {
  return Strip::kBits == 8 ? 128 : Strip::kOffset;
}

// The values that codes stand for, made unsigned as signed bytes are.
template <typename Strip>
[[gnu::always_inline]] inline __m512i LookUp(__m512i codes) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(Strip::kValues));
  const __m512i table = _mm512_xor_si512(_mm512_broadcast_i32x4(values), _mm512_set1_epi8(-128));
  return _mm512_shuffle_epi8(table, codes);
}

inline F32x16 LoadScales(const uint16_t* p) { return LoadHalf(p); }
inline F32x16 LoadScales(const BFloat16* p) { return LoadBFloat16(&p->bits); }

// A quad of unsigned weights, OffsetOf above their value.
template <typename Strip>
[[gnu::always_inline]] inline __m512i Quad(const Strip& s, int quad) {
  if constexpr (requires { s.quads; }) {
    return _mm512_xor_si512(LoadQuad(s.quads[quad]), _mm512_set1_epi8(-128));
  } else {
    __m512i w = _mm512_setzero_si512();
    int bit = 0;
    if constexpr (requires { s.nibbles; }) {
      w = Nibbles(s.nibbles, quad);
      bit = 4;
    }
    if constexpr (requires { s.pairs; }) {
      w = _mm512_or_si512(w, Pair(s.pairs, quad, bit));
      bit += 2;
    }
    if constexpr (requires { s.bits; }) w = _mm512_or_si512(w, Bit(s.bits, quad, bit));
    if constexpr (requires { Strip::kValues; }) return LookUp<Strip>(w);
    return w;
  }
}

template <typename Unit>
[[gnu::always_inline]] inline Scales GetScales(const Unit& unit, const typename Unit::Strip& s) {
  Scales scales = {};
  if constexpr (requires { s.d; }) scales.d = LoadScales(s.d);
  if constexpr (requires { s.m; }) scales.m = LoadHalf(s.m);
  if constexpr (requires { unit.d; }) scales.d = LoadHalf(unit.d);
  if constexpr (requires { s.half_d; }) {
    scales.d = LoadHalf(s.half_d[0]);
    scales.m = LoadHalf(s.half_d[1]);
  }
  if constexpr (requires { s.kScaleUnit; }) scales.d = Mul(scales.d, Set1(s.kScaleUnit));
  if constexpr (requires { s.scale; }) scales.d = Mul(scales.d, LoadInt8(s.scale));
  if constexpr (requires { unit.dmin; }) scales.m = Negate(LoadHalf(unit.dmin));
  if constexpr (requires { s.sub_scale; }) {
    scales.d = Mul(scales.d, LoadUnsignedBytes(s.sub_scale));
    scales.m = Mul(scales.m, LoadUnsignedBytes(s.sub_min));
  }
  if constexpr (RuleOf<Unit>() == Rule::kSub) {
    for (int h = 0; h < 2; ++h) scales.sub[h] = LoadInt8(s.sub[h]);
  }
  if constexpr (RuleOf<Unit>() == Rule::kSubMin) {
    __m512i min[2];
    for (int h = 0; h < 2; ++h) {
      const __m512i both = _mm512_cvtepu8_epi32(Load128(s.sub[h]));
      scales.sub[h] = ToFloats(_mm512_and_si512(both, _mm512_set1_epi32(15)));
      min[h] = _mm512_srli_epi32(both, 4);
    }
    scales.min = _mm512_or_si512(min[0], _mm512_slli_epi32(min[1], 16));
  }
  return scales;
}

}  // namespace baton::avx512

#endif  // BATON_ENGINE_KERNELS_AVX512_QUANT_FORMATS_H_
