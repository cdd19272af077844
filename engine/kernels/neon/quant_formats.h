// How each packed strip comes into NEON registers: sixteen rows in four registers, four columns of
// each row as the bytes of a 32-bit lane.
#ifndef BATON_ENGINE_KERNELS_NEON_QUANT_FORMATS_H_
#define BATON_ENGINE_KERNELS_NEON_QUANT_FORMATS_H_

#include <arm_neon.h>

#include <cstdint>

#include "engine/kernels/neon/f32x16.h"
#include "engine/kernels/packed_layout.h"

namespace baton::neon {

// Scales of the sixteen rows of a strip.
struct Scales {
  F32x16 d;       // kScale*: of the strip, sub-scale included; kSub*: of the super-block;
                  // kHalves: of the first half
  F32x16 m;       // kScaleMin: what the scaled sum of the activations is multiplied with;
                  // kSubMin: -dmin; kHalves: d of the second half
  F32x16 sub[2];  // kSub*: each half's scale
  F32x16 min[2];  // kSubMin
};

// x << shift, where a negative shift goes right.
template <int kShift>
inline uint8x16_t Shift(uint8x16_t x) {
  if constexpr (kShift > 0) return vshlq_n_u8(x, kShift);
  if constexpr (kShift < 0) return vshrq_n_u8(x, -kShift);
  return x;
}

// The fields of a quad (packed_layout.h), each from 16 bytes at `p`; pairs and bits come at bit
// position kAt of the result.
template <int kQuad>
inline uint8x16_t Nibbles(const uint8_t* p) {
  const uint8x16_t x = vld1q_u8(p);
  return kQuad < 4 ? vandq_u8(x, vdupq_n_u8(15)) : vshrq_n_u8(x, 4);
}
template <int kQuad, int kAt>
inline uint8x16_t Pair(const uint8_t* p) {
  return vandq_u8(Shift<kAt - 2 * (kQuad % 4)>(vld1q_u8(p)), vdupq_n_u8(3 << kAt));
}
template <int kQuad, int kAt>
inline uint8x16_t Bit(const uint8_t* p) {
  return vandq_u8(Shift<kAt - (2 * (kQuad % 4) + kQuad / 4)>(vld1q_u8(p)), vdupq_n_u8(1 << kAt));
}

inline F32x16 LoadScales(const uint16_t* p) { return LoadHalf(p); }
inline F32x16 LoadScales(const BFloat16* p) { return LoadBFloat16(&p->bits); }

// Rows 4 * part to 4 * part + 3 of a quad: signed, or as they are stored, unsigned and at most 63.
template <int kQuad, typename Strip>
[[gnu::always_inline]] inline int8x16_t Quad(const Strip& s, int part) {
  const int at = 16 * part;
  if constexpr (requires { s.quads; }) {
    return vld1q_s8(s.quads[kQuad] + at);
  } else {
    constexpr bool kNibbles = requires { s.nibbles; };
    constexpr bool kPairs = requires { s.pairs; };
    constexpr int kPairsAt = kNibbles ? 4 : 0;
    uint8x16_t w = vdupq_n_u8(0);
    if constexpr (kNibbles) w = Nibbles<kQuad>(s.nibbles[kQuad % 4] + at);
    if constexpr (kPairs) w = vorrq_u8(w, Pair<kQuad, kPairsAt>(s.pairs[kQuad / 4] + at));
    if constexpr (requires { s.bits; }) {
      w = vorrq_u8(w, Bit<kQuad, kPairsAt + (kPairs ? 2 : 0)>(s.bits + at));
    }
    if constexpr (requires { Strip::kValues; }) return vqtbl1q_s8(vld1q_s8(Strip::kValues), w);
    return vreinterpretq_s8_u8(w);
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
    scales.d = Mul(scales.d, ToFloats(vld1q_u8(s.sub_scale)));
    scales.m = Mul(scales.m, ToFloats(vld1q_u8(s.sub_min)));
  }
  if constexpr (RuleOf<Unit>() == Rule::kSub) {
    for (int h = 0; h < 2; ++h) scales.sub[h] = LoadInt8(s.sub[h]);
  }
  if constexpr (RuleOf<Unit>() == Rule::kSubMin) {
    for (int h = 0; h < 2; ++h) {
      const uint8x16_t both = vld1q_u8(s.sub[h]);
      scales.sub[h] = ToFloats(vandq_u8(both, vdupq_n_u8(15)));
      scales.min[h] = ToFloats(vshrq_n_u8(both, 4));
    }
  }
  return scales;
}

}  // namespace baton::neon

#endif  // BATON_ENGINE_KERNELS_NEON_QUANT_FORMATS_H_
