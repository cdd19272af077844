// The peak of int8 with AVX2: vpmaddubsw, whose pairs are added in int16 as often as 4-bit weights
// let them before vpmaddwd widens them, as quant_matmul.h does; with AVX-VNNI vpdpbusd alone.
#ifndef BATON_ENGINE_KERNELS_AVX2_PROBE_H_
#define BATON_ENGINE_KERNELS_AVX2_PROBE_H_

#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/avx2/quant_matmul.h"
#include "engine/kernels/vector/unroll.h"

namespace baton::BATON_VECTOR_NAMESPACE {

// Products of bytes in one instruction.
inline constexpr int kByteProducts = 32;

// A round on one sum. For all that the compiler knows, x is another one after each use: no product
// can be kept for the next.
#ifdef BATON_AVX_VNNI
inline constexpr int kProbeChains = 12;
inline constexpr int kProbeQuads = 1;
[[gnu::always_inline]] inline __m256i ProbeDot(__m256i sum, __m256i w, __m256i& x) {
  asm volatile("" : "+x"(x));
  return AddDots(sum, w, x);
}
#else
inline constexpr int kProbeChains = 4;
inline constexpr int kProbeQuads = 8;
[[gnu::always_inline]] inline __m256i ProbeDot(__m256i sum, __m256i w, __m256i& x) {
  asm volatile("" : "+x"(x));
  __m256i pairs = _mm256_maddubs_epi16(w, x);
  Unroll<kProbeQuads - 1>([&](auto) __attribute__((always_inline)) {
    asm volatile("" : "+x"(x));
    pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(w, x));
  });
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#endif

inline int64_t DotInt8(int64_t rounds) {
  const __m256i w = _mm256_set1_epi8(1);
  __m256i x = _mm256_set1_epi8(2);
  __m256i sum[kProbeChains];
  Unroll<kProbeChains>([&](auto c) { sum[c] = _mm256_set1_epi32(c); });
  for (int64_t round = 0; round < rounds; ++round) {
    Unroll<kProbeChains>([&](auto c) { sum[c] = ProbeDot(sum[c], w, x); });
  }
  __m256i all = sum[0];
  Unroll<kProbeChains>([&](auto c) { all = _mm256_add_epi32(all, sum[c]); });
  volatile int32_t result = _mm_cvtsi128_si32(_mm256_castsi256_si128(all));
  static_cast<void>(result);
  return rounds * kProbeChains * kProbeQuads * kByteProducts * 2;
}

}  // namespace baton::BATON_VECTOR_NAMESPACE

#endif  // BATON_ENGINE_KERNELS_AVX2_PROBE_H_
