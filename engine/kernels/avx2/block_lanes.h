// The two 128-bit lanes of an AVX2 register, for vector/quantize-inl.h.
#ifndef BATON_ENGINE_KERNELS_AVX2_BLOCK_LANES_H_
#define BATON_ENGINE_KERNELS_AVX2_BLOCK_LANES_H_

#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/avx2/f32x16.h"
#include "engine/kernels/kernels.h"

namespace baton::BATON_VECTOR_NAMESPACE {

inline constexpr int kLaneBlocks = 2;

struct F32Lanes {
  __m256 v;
};
struct I32Lanes {
  __m256i v;
};
struct I16Lanes {
  __m256i v;
};

// Floats `first` to `first` + 3 of each block.
inline F32Lanes LoadFours(const float* const (&x)[kLaneBlocks], int first) {
  return {_mm256_loadu2_m128(x[1] + first, x[0] + first)};
}
inline F32Lanes Set1Float(float x) { return {_mm256_set1_ps(x)}; }
inline F32Lanes Mul(F32Lanes x, F32Lanes y) { return {_mm256_mul_ps(x.v, y.v)}; }
inline F32Lanes Div(F32Lanes x, F32Lanes y) { return {_mm256_div_ps(x.v, y.v)}; }
inline I32Lanes AsInt32(F32Lanes x) { return {_mm256_castps_si256(x.v)}; }
inline F32Lanes AsFloats(I32Lanes x) { return {_mm256_castsi256_ps(x.v)}; }
// To nearest even.
inline I32Lanes Round(F32Lanes x) { return {_mm256_cvtps_epi32(x.v)}; }

inline I32Lanes Set1Int32(int32_t x) { return {_mm256_set1_epi32(x)}; }
inline I32Lanes SetFour(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  const __m128i four = _mm_setr_epi32(static_cast<int>(a), static_cast<int>(b), static_cast<int>(c),
                                      static_cast<int>(d));
  return {_mm256_broadcastsi128_si256(four)};
}
inline I32Lanes Add(I32Lanes x, I32Lanes y) { return {_mm256_add_epi32(x.v, y.v)}; }
inline I32Lanes Multiply(I32Lanes x, I32Lanes y) { return {_mm256_mullo_epi32(x.v, y.v)}; }
inline I32Lanes And(I32Lanes x, I32Lanes y) { return {_mm256_and_si256(x.v, y.v)}; }
inline I32Lanes Max(I32Lanes x, I32Lanes y) { return {_mm256_max_epi32(x.v, y.v)}; }
inline void Store(I32Lanes x, int32_t* p) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.v);
}
// Of the four elements of each lane the largest, or the least unsigned one, in all of them.
inline I32Lanes LargestOfFour(I32Lanes x) {
  const __m256i two = _mm256_max_epi32(x.v, _mm256_shuffle_epi32(x.v, 0x4e));
  return {_mm256_max_epi32(two, _mm256_shuffle_epi32(two, 0xb1))};
}
inline I32Lanes LeastOfFour(I32Lanes x) {
  const __m256i two = _mm256_min_epu32(x.v, _mm256_shuffle_epi32(x.v, 0x4e));
  return {_mm256_min_epu32(two, _mm256_shuffle_epi32(two, 0xb1))};
}
// Per lane the sum of the elements of each of four.
inline I32Lanes SumsOfFour(const I32Lanes (&x)[4]) {
  return {_mm256_hadd_epi32(_mm256_hadd_epi32(x[0].v, x[1].v), _mm256_hadd_epi32(x[2].v, x[3].v))};
}
// Elements of `table` by number within the lane.
inline I32Lanes Lookup(I32Lanes table, I32Lanes numbers) {
  return {_mm256_castps_si256(_mm256_permutevar_ps(_mm256_castsi256_ps(table.v), numbers.v))};
}

inline I16Lanes Set1Int16(int16_t x) { return {_mm256_set1_epi16(x)}; }
inline I16Lanes AsInt16(I32Lanes x) { return {x.v}; }
inline I16Lanes Pack(I32Lanes x, I32Lanes y) { return {_mm256_packs_epi32(x.v, y.v)}; }
inline I16Lanes Add(I16Lanes x, I16Lanes y) { return {_mm256_add_epi16(x.v, y.v)}; }
// (x * y + 2^14) >> 15
inline I16Lanes MultiplyRound(I16Lanes x, I16Lanes y) { return {_mm256_mulhrs_epi16(x.v, y.v)}; }
inline I16Lanes ShiftRight7(I16Lanes x) { return {_mm256_srai_epi16(x.v, 7)}; }
inline I16Lanes SignExtend7(I16Lanes x) {
  return {_mm256_srai_epi16(_mm256_slli_epi16(x.v, 9), 9)};
}
// Products of elements, added up in pairs.
inline I32Lanes AddDot(I32Lanes sums, I16Lanes x, I16Lanes y) {
  return {_mm256_add_epi32(sums.v, _mm256_madd_epi16(x.v, y.v))};
}
// The 32 values of each block, all within int8.
inline void StoreBytes(const I16Lanes (&x)[4], QuantizedBlock* const (&out)[kLaneBlocks]) {
  for (int h = 0; h < 2; ++h) {
    const __m256i bytes = _mm256_packs_epi16(x[2 * h].v, x[2 * h + 1].v);
    _mm256_storeu2_m128i(reinterpret_cast<__m128i*>(out[1]->values + 16 * h),
                         reinterpret_cast<__m128i*>(out[0]->values + 16 * h), bytes);
  }
}

}  // namespace baton::BATON_VECTOR_NAMESPACE

#endif  // BATON_ENGINE_KERNELS_AVX2_BLOCK_LANES_H_
