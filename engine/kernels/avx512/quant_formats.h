// How each packed strip comes into AVX-512 registers: sixteen rows at a time, four columns of each
// as the bytes of a 32-bit lane.
#ifndef BATON_ENGINE_KERNELS_AVX512_QUANT_FORMATS_H_
#define BATON_ENGINE_KERNELS_AVX512_QUANT_FORMATS_H_

#include <cstdint>

#include "engine/kernels/avx512/f32x16.h"
#include "engine/kernels/packed_layout.h"

namespace baton::avx512 {

// How the integer dot product of a strip becomes floats.
enum class Rule {
  kScale,     // d * dot
  kScaleMin,  // d * dot + m * sum of activations
  kSub,       // d * (scale0 * dot0 + scale1 * dot1), halves of 16 columns
  kSubMin,    // the same, and - dmin * (min0 * sum0 + min1 * sum1)
};

// Scales of the sixteen rows of a strip.
struct Scales {
  F32x16 d;       // kScale*: of the strip, sub-scale included; kSub*: of the super-block
  F32x16 m;       // kScaleMin: what the scaled sum of the activations is multiplied with;
                  // kSubMin: -dmin
  F32x16 sub[2];  // kSub*: each half's scale
  F32x16 min[2];  // kSubMin
};

inline F32x16 ToFloats(__m512i x) { return {_mm512_cvtepi32_ps(x)}; }
inline F32x16 LoadUnsignedBytes(const uint8_t* p) {
  return ToFloats(_mm512_cvtepu8_epi32(Load128(p)));
}

inline Scales FromStrip(const uint16_t* d, const uint16_t* m = nullptr) {
  Scales scales = {};
  scales.d = LoadHalf(d);
  if (m != nullptr) scales.m = LoadHalf(m);
  return scales;
}
inline Scales FromSub(const uint16_t* d, const int8_t* sub0, const int8_t* sub1) {
  Scales scales = {};
  scales.d = LoadHalf(d);
  scales.sub[0] = LoadInt8(sub0);
  scales.sub[1] = LoadInt8(sub1);
  return scales;
}

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

template <typename StripType>
struct PlainUnit {
  static constexpr int kStrips = 1;
  StripType strips[1];
};
template <typename StripType>
struct SuperUnit : SuperBlock<StripType> {
  static constexpr int kStrips = kSuperStrips;
};
template <typename StripType>
struct SuperMinUnit : SuperBlockMin<StripType> {
  static constexpr int kStrips = kSuperStrips;
};

// Quad(): unsigned bytes, kOffset above the weight.
struct Q4_0 {
  using Strip = StripQ4_0;
  using Unit = PlainUnit<Strip>;
  static constexpr Rule kRule = Rule::kScale;
  static constexpr int kOffset = 8;
  static __m512i Quad(const StripQ4_0& s, int quad) { return Nibbles(s.nibbles, quad); }
  static Scales Get(const Unit&, const StripQ4_0& s) { return FromStrip(s.d); }
};
struct Q4_1 {
  using Strip = StripQ4_1;
  using Unit = PlainUnit<Strip>;
  static constexpr Rule kRule = Rule::kScaleMin;
  static constexpr int kOffset = 0;
  static __m512i Quad(const StripQ4_1& s, int quad) { return Nibbles(s.nibbles, quad); }
  static Scales Get(const Unit&, const StripQ4_1& s) { return FromStrip(s.d, s.m); }
};
struct Q5_0 {
  using Strip = StripQ5_0;
  using Unit = PlainUnit<Strip>;
  static constexpr Rule kRule = Rule::kScale;
  static constexpr int kOffset = 16;
  static __m512i Quad(const StripQ5_0& s, int quad) {
    return _mm512_or_si512(Nibbles(s.nibbles, quad), Bit(s.bits, quad, 4));
  }
  static Scales Get(const Unit&, const StripQ5_0& s) { return FromStrip(s.d); }
};
struct Q5_1 {
  using Strip = StripQ5_1;
  using Unit = PlainUnit<Strip>;
  static constexpr Rule kRule = Rule::kScaleMin;
  static constexpr int kOffset = 0;
  static __m512i Quad(const StripQ5_1& s, int quad) {
    return _mm512_or_si512(Nibbles(s.nibbles, quad), Bit(s.bits, quad, 4));
  }
  static Scales Get(const Unit&, const StripQ5_1& s) { return FromStrip(s.d, s.m); }
};
struct Q8_0 {
  using Strip = StripQ8_0;
  using Unit = PlainUnit<Strip>;
  static constexpr Rule kRule = Rule::kScale;
  static constexpr int kOffset = 128;
  static __m512i Quad(const StripQ8_0& s, int quad) {
    return _mm512_xor_si512(LoadQuad(s.quads[quad]), _mm512_set1_epi8(-128));
  }
  static Scales Get(const Unit&, const StripQ8_0& s) { return FromStrip(s.d); }
};
struct Q2_K {
  using Strip = StripQ2_K;
  using Unit = SuperMinUnit<Strip>;
  static constexpr Rule kRule = Rule::kSubMin;
  static constexpr int kOffset = 0;
  static __m512i Quad(const StripQ2_K& s, int quad) { return Pair(s.pairs, quad, 0); }
  static Scales Get(const Unit& unit, const StripQ2_K& s) {
    Scales scales;
    scales.d = LoadHalf(unit.d);
    scales.m = Negate(LoadHalf(unit.dmin));
    for (int h = 0; h < 2; ++h) {
      const __m512i both = _mm512_cvtepu8_epi32(Load128(s.sub[h]));
      scales.sub[h] = ToFloats(_mm512_and_si512(both, _mm512_set1_epi32(15)));
      scales.min[h] = ToFloats(_mm512_srli_epi32(both, 4));
    }
    return scales;
  }
};
struct Q3_K {
  using Strip = StripQ3_K;
  using Unit = SuperUnit<Strip>;
  static constexpr Rule kRule = Rule::kSub;
  static constexpr int kOffset = 4;
  static __m512i Quad(const StripQ3_K& s, int quad) {
    return _mm512_or_si512(Pair(s.pairs, quad, 0), Bit(s.bits, quad, 2));
  }
  static Scales Get(const Unit& unit, const StripQ3_K& s) {
    return FromSub(unit.d, s.sub[0], s.sub[1]);
  }
};
template <typename StripType>
inline Scales ScaleMinOfSuper(const SuperMinUnit<StripType>& unit, const StripType& s) {
  Scales scales = {};
  scales.d = Mul(LoadHalf(unit.d), LoadUnsignedBytes(s.sub_scale));
  scales.m = Negate(Mul(LoadHalf(unit.dmin), LoadUnsignedBytes(s.sub_min)));
  return scales;
}
struct Q4_K {
  using Strip = StripQ4_K;
  using Unit = SuperMinUnit<Strip>;
  static constexpr Rule kRule = Rule::kScaleMin;
  static constexpr int kOffset = 0;
  static __m512i Quad(const StripQ4_K& s, int quad) { return Nibbles(s.nibbles, quad); }
  static Scales Get(const Unit& unit, const StripQ4_K& s) { return ScaleMinOfSuper(unit, s); }
};
struct Q5_K {
  using Strip = StripQ5_K;
  using Unit = SuperMinUnit<Strip>;
  static constexpr Rule kRule = Rule::kScaleMin;
  static constexpr int kOffset = 0;
  static __m512i Quad(const StripQ5_K& s, int quad) {
    return _mm512_or_si512(Nibbles(s.nibbles, quad), Bit(s.bits, quad, 4));
  }
  static Scales Get(const Unit& unit, const StripQ5_K& s) { return ScaleMinOfSuper(unit, s); }
};
struct Q6_K {
  using Strip = StripQ6_K;
  using Unit = SuperUnit<Strip>;
  static constexpr Rule kRule = Rule::kSub;
  static constexpr int kOffset = 32;
  static __m512i Quad(const StripQ6_K& s, int quad) {
    return _mm512_or_si512(Nibbles(s.nibbles, quad), Pair(s.pairs, quad, 4));
  }
  static Scales Get(const Unit& unit, const StripQ6_K& s) {
    return FromSub(unit.d, s.sub[0], s.sub[1]);
  }
};

}  // namespace baton::avx512

#endif  // BATON_ENGINE_KERNELS_AVX512_QUANT_FORMATS_H_
