// A NEON register is one lane of 128 bits, for vector/quantize-inl.h.
#ifndef BATON_ENGINE_KERNELS_NEON_BLOCK_LANES_H_
#define BATON_ENGINE_KERNELS_NEON_BLOCK_LANES_H_

#include <arm_neon.h>

#include <cstdint>

#include "engine/kernels/kernels.h"

namespace baton::neon {

inline constexpr int kLaneBlocks = 1;

struct F32Lanes {
  float32x4_t v;
};
struct I32Lanes {
  int32x4_t v;
};
struct I16Lanes {
  int16x8_t v;
};

// Floats `first` to `first` + 3 of the block.
inline F32Lanes LoadFours(const float* const (&x)[kLaneBlocks], int first) {
  return {vld1q_f32(x[0] + first)};
}
inline F32Lanes Set1Float(float x) { return {vdupq_n_f32(x)}; }
inline F32Lanes Mul(F32Lanes x, F32Lanes y) { return {vmulq_f32(x.v, y.v)}; }
inline F32Lanes Div(F32Lanes x, F32Lanes y) { return {vdivq_f32(x.v, y.v)}; }
inline I32Lanes AsInt32(F32Lanes x) { return {vreinterpretq_s32_f32(x.v)}; }
inline F32Lanes AsFloats(I32Lanes x) { return {vreinterpretq_f32_s32(x.v)}; }
// To nearest even.
inline I32Lanes Round(F32Lanes x) { return {vcvtnq_s32_f32(x.v)}; }

inline I32Lanes Set1Int32(int32_t x) { return {vdupq_n_s32(x)}; }
inline I32Lanes SetFour(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  const uint32_t four[4] = {a, b, c, d};
  return {vreinterpretq_s32_u32(vld1q_u32(four))};
}
inline I32Lanes Add(I32Lanes x, I32Lanes y) { return {vaddq_s32(x.v, y.v)}; }
inline I32Lanes Multiply(I32Lanes x, I32Lanes y) { return {vmulq_s32(x.v, y.v)}; }
inline I32Lanes And(I32Lanes x, I32Lanes y) { return {vandq_s32(x.v, y.v)}; }
inline I32Lanes Max(I32Lanes x, I32Lanes y) { return {vmaxq_s32(x.v, y.v)}; }
inline void Store(I32Lanes x, int32_t* p) { vst1q_s32(p, x.v); }
// Of the four elements the largest, or the least unsigned one, in all of them.
inline I32Lanes LargestOfFour(I32Lanes x) { return {vdupq_n_s32(vmaxvq_s32(x.v))}; }
inline I32Lanes LeastOfFour(I32Lanes x) {
  return {vreinterpretq_s32_u32(vdupq_n_u32(vminvq_u32(vreinterpretq_u32_s32(x.v))))};
}
// The sum of the elements of each of four.
inline I32Lanes SumsOfFour(const I32Lanes (&x)[4]) {
  return {vpaddq_s32(vpaddq_s32(x[0].v, x[1].v), vpaddq_s32(x[2].v, x[3].v))};
}
// Elements of `table` by number.
inline I32Lanes Lookup(I32Lanes table, I32Lanes numbers) {
  // Element n has bytes 4 n to 4 n + 3.
  const int32x4_t bytes = vmlaq_s32(vdupq_n_s32(0x03020100), numbers.v, vdupq_n_s32(0x04040404));
  return {
      vreinterpretq_s32_u8(vqtbl1q_u8(vreinterpretq_u8_s32(table.v), vreinterpretq_u8_s32(bytes)))};
}

inline I16Lanes Set1Int16(int16_t x) { return {vdupq_n_s16(x)}; }
inline I16Lanes AsInt16(I32Lanes x) { return {vreinterpretq_s16_s32(x.v)}; }
inline I16Lanes Pack(I32Lanes x, I32Lanes y) {
  return {vcombine_s16(vmovn_s32(x.v), vmovn_s32(y.v))};
}
inline I16Lanes Add(I16Lanes x, I16Lanes y) { return {vaddq_s16(x.v, y.v)}; }
// (x * y + 2^14) >> 15
inline I16Lanes MultiplyRound(I16Lanes x, I16Lanes y) { return {vqrdmulhq_s16(x.v, y.v)}; }
inline I16Lanes ShiftRight7(I16Lanes x) { return {vshrq_n_s16(x.v, 7)}; }
inline I16Lanes SignExtend7(I16Lanes x) { return {vshrq_n_s16(vshlq_n_s16(x.v, 9), 9)}; }
// Products of elements, some of which are added up.
inline I32Lanes AddDot(I32Lanes sums, I16Lanes x, I16Lanes y) {
  const int32x4_t half = vmlal_s16(sums.v, vget_low_s16(x.v), vget_low_s16(y.v));
  return {vmlal_high_s16(half, x.v, y.v)};
}
// The 32 values of the block, all within int8.
inline void StoreBytes(const I16Lanes (&x)[4], QuantizedBlock* const (&out)[kLaneBlocks]) {
  for (int h = 0; h < 2; ++h) {
    vst1q_s8(out[0]->values + 16 * h,
             vcombine_s8(vmovn_s16(x[2 * h].v), vmovn_s16(x[2 * h + 1].v)));
  }
}

}  // namespace baton::neon

#endif  // BATON_ENGINE_KERNELS_NEON_BLOCK_LANES_H_
