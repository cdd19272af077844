// How each packed strip comes into AVX2 registers: eight rows at a time, four columns of each as
// the bytes of a 32-bit lane.
#ifndef BATON_ENGINE_KERNELS_AVX2_QUANT_FORMATS_H_
#define BATON_ENGINE_KERNELS_AVX2_QUANT_FORMATS_H_

#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/packed_layout.h"

namespace baton::avx2 {

// How the integer dot product of a strip becomes floats.
enum class Rule {
  kScale,     // d * dot
  kScaleMin,  // d * dot + m * sum of activations
  kSub,       // d * (scale0 * dot0 + scale1 * dot1), halves of 16 columns
  kSubMin,    // the same, and - dmin * (min0 * sum0 + min1 * sum1)
};

// Scales of eight rows of a strip.
struct Scales {
  __m256 d;        // kScale*: of the strip, sub-scale included; kSub*: of the super-block
  __m256 m;        // kScaleMin: what the scaled sum of the activations is multiplied with;
                   // kSubMin: -dmin
  __m256i sub[2];  // kSub*: each half's scale, twice as int16 per lane
  __m256i min;     // kSubMin: (min0, min1) as int16 per lane
};

inline __m256i LoadBytes(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
inline __m256 LoadHalves(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
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

inline Scales FromStrip(const uint16_t* d, const uint16_t* m = nullptr) {
  Scales scales = {};
  scales.d = LoadHalves(d);
  if (m != nullptr) scales.m = LoadHalves(m);
  return scales;
}
inline Scales FromSub(const uint16_t* d, const int8_t* sub0, const int8_t* sub1) {
  Scales scales = {};
  scales.d = LoadHalves(d);
  scales.sub[0] = LoadPairs(sub0);
  scales.sub[1] = LoadPairs(sub1);
  return scales;
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

// kParts: the quads of a strip are multiplied in so many runs, each summed in int16 lanes. A run of
// n quads adds 2 n products of at most max(q) * 127, which must stay within 32767.
// Quad(): bytes `at` to `at` + 31 of a quad: rows at / 4 to at / 4 + 7.
struct Q4_0 {
  using Strip = StripQ4_0;
  using Unit = PlainUnit<Strip>;
  static constexpr Rule kRule = Rule::kScale;
  static constexpr int kOffset = 8, kParts = 1;
  static constexpr bool kSigned = false;
  static __m256i Quad(const StripQ4_0& s, int quad, int at) { return Nibbles(s.nibbles, quad, at); }
  static Scales Get(const Unit&, const StripQ4_0& s, int row) { return FromStrip(s.d + row); }
};
struct Q4_1 {
  using Strip = StripQ4_1;
  using Unit = PlainUnit<Strip>;
  static constexpr Rule kRule = Rule::kScaleMin;
  static constexpr int kOffset = 0, kParts = 1;
  static constexpr bool kSigned = false;
  static __m256i Quad(const StripQ4_1& s, int quad, int at) { return Nibbles(s.nibbles, quad, at); }
  static Scales Get(const Unit&, const StripQ4_1& s, int row) {
    return FromStrip(s.d + row, s.m + row);
  }
};
struct Q5_0 {
  using Strip = StripQ5_0;
  using Unit = PlainUnit<Strip>;
  static constexpr Rule kRule = Rule::kScale;
  static constexpr int kOffset = 16, kParts = 2;
  static constexpr bool kSigned = false;
  static __m256i Quad(const StripQ5_0& s, int quad, int at) {
    return _mm256_or_si256(Nibbles(s.nibbles, quad, at), Bit(s.bits, quad, at, 4));
  }
  static Scales Get(const Unit&, const StripQ5_0& s, int row) { return FromStrip(s.d + row); }
};
struct Q5_1 {
  using Strip = StripQ5_1;
  using Unit = PlainUnit<Strip>;
  static constexpr Rule kRule = Rule::kScaleMin;
  static constexpr int kOffset = 0, kParts = 2;
  static constexpr bool kSigned = false;
  static __m256i Quad(const StripQ5_1& s, int quad, int at) {
    return _mm256_or_si256(Nibbles(s.nibbles, quad, at), Bit(s.bits, quad, at, 4));
  }
  static Scales Get(const Unit&, const StripQ5_1& s, int row) {
    return FromStrip(s.d + row, s.m + row);
  }
};
// Signed weights: |w| times the activation with w's sign.
struct Q8_0 {
  using Strip = StripQ8_0;
  using Unit = PlainUnit<Strip>;
  static constexpr Rule kRule = Rule::kScale;
  static constexpr int kOffset = 0, kParts = 8;
  static constexpr bool kSigned = true;
  static __m256i Quad(const StripQ8_0& s, int quad, int at) {
    return LoadBytes(s.quads[quad] + at);
  }
  static Scales Get(const Unit&, const StripQ8_0& s, int row) { return FromStrip(s.d + row); }
};
struct Q2_K {
  using Strip = StripQ2_K;
  using Unit = SuperMinUnit<Strip>;
  static constexpr Rule kRule = Rule::kSubMin;
  static constexpr int kOffset = 0, kParts = 2;
  static constexpr bool kSigned = false;
  static __m256i Quad(const StripQ2_K& s, int quad, int at) { return Pair(s.pairs, quad, at, 0); }
  static Scales Get(const Unit& unit, const StripQ2_K& s, int row) {
    const auto bytes = [&](int half) {
      return _mm256_cvtepu8_epi32(
          _mm_loadl_epi64(reinterpret_cast<const __m128i*>(s.sub[half] + row)));
    };
    const __m256i both[2] = {bytes(0), bytes(1)}, low = _mm256_set1_epi32(15);
    Scales scales;
    scales.d = LoadHalves(unit.d + row);
    scales.m = _mm256_xor_ps(LoadHalves(unit.dmin + row), _mm256_set1_ps(-0.0f));
    for (int h = 0; h < 2; ++h) {
      const __m256i scale = _mm256_and_si256(both[h], low);
      scales.sub[h] = _mm256_or_si256(scale, _mm256_slli_epi32(scale, 16));
    }
    scales.min = _mm256_or_si256(_mm256_srli_epi32(both[0], 4),
                                 _mm256_slli_epi32(_mm256_srli_epi32(both[1], 4), 16));
    return scales;
  }
};
struct Q3_K {
  using Strip = StripQ3_K;
  using Unit = SuperUnit<Strip>;
  static constexpr Rule kRule = Rule::kSub;
  static constexpr int kOffset = 4, kParts = 2;
  static constexpr bool kSigned = false;
  static __m256i Quad(const StripQ3_K& s, int quad, int at) {
    return _mm256_or_si256(Pair(s.pairs, quad, at, 0), Bit(s.bits, quad, at, 2));
  }
  static Scales Get(const Unit& unit, const StripQ3_K& s, int row) {
    return FromSub(unit.d + row, s.sub[0] + row, s.sub[1] + row);
  }
};
template <typename StripType>
inline Scales ScaleMinOfSuper(const SuperMinUnit<StripType>& unit, const StripType& s, int row) {
  Scales scales = {};
  scales.d = _mm256_mul_ps(LoadHalves(unit.d + row), LoadUnsignedBytes(s.sub_scale + row));
  scales.m =
      _mm256_xor_ps(_mm256_mul_ps(LoadHalves(unit.dmin + row), LoadUnsignedBytes(s.sub_min + row)),
                    _mm256_set1_ps(-0.0f));
  return scales;
}
struct Q4_K {
  using Strip = StripQ4_K;
  using Unit = SuperMinUnit<Strip>;
  static constexpr Rule kRule = Rule::kScaleMin;
  static constexpr int kOffset = 0, kParts = 1;
  static constexpr bool kSigned = false;
  static __m256i Quad(const StripQ4_K& s, int quad, int at) { return Nibbles(s.nibbles, quad, at); }
  static Scales Get(const Unit& unit, const StripQ4_K& s, int row) {
    return ScaleMinOfSuper(unit, s, row);
  }
};
struct Q5_K {
  using Strip = StripQ5_K;
  using Unit = SuperMinUnit<Strip>;
  static constexpr Rule kRule = Rule::kScaleMin;
  static constexpr int kOffset = 0, kParts = 2;
  static constexpr bool kSigned = false;
  static __m256i Quad(const StripQ5_K& s, int quad, int at) {
    return _mm256_or_si256(Nibbles(s.nibbles, quad, at), Bit(s.bits, quad, at, 4));
  }
  static Scales Get(const Unit& unit, const StripQ5_K& s, int row) {
    return ScaleMinOfSuper(unit, s, row);
  }
};
struct Q6_K {
  using Strip = StripQ6_K;
  using Unit = SuperUnit<Strip>;
  static constexpr Rule kRule = Rule::kSub;
  static constexpr int kOffset = 32, kParts = 4;
  static constexpr bool kSigned = false;
  static __m256i Quad(const StripQ6_K& s, int quad, int at) {
    return _mm256_or_si256(Nibbles(s.nibbles, quad, at), Pair(s.pairs, quad, at, 4));
  }
  static Scales Get(const Unit& unit, const StripQ6_K& s, int row) {
    return FromSub(unit.d + row, s.sub[0] + row, s.sub[1] + row);
  }
};

}  // namespace baton::avx2

#endif  // BATON_ENGINE_KERNELS_AVX2_QUANT_FORMATS_H_
