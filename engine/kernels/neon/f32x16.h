// Sixteen floats in four NEON registers: the lanes of the numeric contract.
#ifndef BATON_ENGINE_KERNELS_NEON_F32X16_H_
#define BATON_ENGINE_KERNELS_NEON_F32X16_H_

#include <arm_neon.h>

#include <cstdint>

#define BATON_VECTOR_NAMESPACE neon

namespace baton::neon {

// Sums of attention that are kept in registers at once.
inline constexpr int kAttentionSums = 4;

struct F32x16 {
  float32x4_t v[4];  // lanes 4 i to 4 i + 3
};

// The lanes of f(i) for i = 0..3.
template <typename Function>
[[gnu::always_inline]] inline F32x16 ForQuarters(const Function& f) {
  return {{f(0), f(1), f(2), f(3)}};
}

inline F32x16 Zero() {
  return ForQuarters([](int) { return vdupq_n_f32(0); });
}
inline F32x16 Set1(float x) {
  return ForQuarters([=](int) { return vdupq_n_f32(x); });
}
inline F32x16 Load(const float* p) {
  return ForQuarters([=](int i) { return vld1q_f32(p + 4 * i); });
}
inline void Store(float* p, F32x16 x) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, x.v[i]);
}
inline F32x16 Add(F32x16 x, F32x16 y) {
  return ForQuarters([&](int i) { return vaddq_f32(x.v[i], y.v[i]); });
}
inline F32x16 Sub(F32x16 x, F32x16 y) {
  return ForQuarters([&](int i) { return vsubq_f32(x.v[i], y.v[i]); });
}
inline F32x16 Mul(F32x16 x, F32x16 y) {
  return ForQuarters([&](int i) { return vmulq_f32(x.v[i], y.v[i]); });
}
inline F32x16 Div(F32x16 x, F32x16 y) {
  return ForQuarters([&](int i) { return vdivq_f32(x.v[i], y.v[i]); });
}
// y where one of them is NaN, as on x86: fmax would take the other one.
inline float32x4_t MaxOf(float32x4_t x, float32x4_t y) { return vbslq_f32(vcgtq_f32(x, y), x, y); }
inline F32x16 Max(F32x16 x, F32x16 y) {
  return ForQuarters([&](int i) { return MaxOf(x.v[i], y.v[i]); });
}
// x * y + z, rounded once.
inline F32x16 Fma(F32x16 x, F32x16 y, F32x16 z) {
  return ForQuarters([&](int i) { return vfmaq_f32(z.v[i], x.v[i], y.v[i]); });
}
inline F32x16 Negate(F32x16 x) {
  return ForQuarters([&](int i) { return vnegq_f32(x.v[i]); });
}

inline float32x4_t LoadHalf4(const uint16_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
inline F32x16 LoadHalf(const uint16_t* p) {
  return ForQuarters([=](int i) { return LoadHalf4(p + 4 * i); });
}
inline F32x16 Set1Half(const uint16_t* p) {
  const float32x4_t x = vcvt_f32_f16(vreinterpret_f16_u16(vld1_dup_u16(p)));
  return ForQuarters([=](int) { return x; });
}
inline void StoreHalf(uint16_t* p, F32x16 x) {
  for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
}
inline F32x16 LoadBFloat16(const uint16_t* p) {
  return ForQuarters(
      [=](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
}
// Sixteen signed or unsigned bytes as floats.
inline F32x16 ToFloats(int8x16_t bytes) {
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))}};
}
inline F32x16 ToFloats(uint8x16_t bytes) {
  const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_high_u8(bytes);
  return {{vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_high_u16(low)),
           vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_high_u16(high))}};
}
inline F32x16 LoadInt8(const int8_t* p) { return ToFloats(vld1q_s8(p)); }

// `below` where x < limit, else `otherwise`.
inline F32x16 SelectBelow(F32x16 x, F32x16 limit, F32x16 below, F32x16 otherwise) {
  return ForQuarters(
      [&](int i) { return vbslq_f32(vcltq_f32(x.v[i], limit.v[i]), below.v[i], otherwise.v[i]); });
}
// x where x is NaN, else `otherwise`.
inline F32x16 SelectNan(F32x16 x, F32x16 otherwise) {
  return ForQuarters(
      [&](int i) { return vbslq_f32(vceqq_f32(x.v[i], x.v[i]), otherwise.v[i], x.v[i]); });
}
// p * 2^n for integral n, by adding n to the exponents.
inline F32x16 ScaleByPowerOf2(F32x16 p, F32x16 n) {
  return ForQuarters([&](int i) {
    const int32x4_t exponent = vshlq_n_s32(vcvtnq_s32_f32(n.v[i]), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p.v[i]), exponent));
  });
}

// The tree of the contract: 8 apart, then 4, 2, 1.
template <typename Combine>
inline float CombineLanes(F32x16 x, const Combine& combine) {
  const float32x4_t four = combine(combine(x.v[0], x.v[2]), combine(x.v[1], x.v[3]));
  const float32x4_t two = combine(four, vextq_f32(four, four, 2));
  return vgetq_lane_f32(combine(two, vextq_f32(two, two, 1)), 0);
}
inline float AddLanes(F32x16 x) {
  return CombineLanes(x, [](float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); });
}
inline float FirstLane(F32x16 x) { return vgetq_lane_f32(x.v[0], 0); }
inline float MaxLane(F32x16 x) { return CombineLanes(x, MaxOf); }

// (even, odd) lanes of 32 floats, and back.
inline void Deinterleave(const float* p, F32x16* even, F32x16* odd) {
  for (int i = 0; i < 4; ++i) {
    const float32x4x2_t pairs = vld2q_f32(p + 8 * i);
    even->v[i] = pairs.val[0];
    odd->v[i] = pairs.val[1];
  }
}
inline void Interleave(F32x16 even, F32x16 odd, F32x16* first, F32x16* second) {
  for (int i = 0; i < 4; ++i) {
    F32x16* to = i < 2 ? first : second;
    to->v[i % 2 * 2] = vzip1q_f32(even.v[i], odd.v[i]);
    to->v[i % 2 * 2 + 1] = vzip2q_f32(even.v[i], odd.v[i]);
  }
}

}  // namespace baton::neon

#endif  // BATON_ENGINE_KERNELS_NEON_F32X16_H_
