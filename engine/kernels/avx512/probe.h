// The peak of int8 with AVX-512: vpdpbusd alone.
#ifndef BATON_ENGINE_KERNELS_AVX512_PROBE_H_
#define BATON_ENGINE_KERNELS_AVX512_PROBE_H_

#include <cstdint>

#include "engine/kernels/avx512/intrinsics.h"
#include "engine/kernels/vector/unroll.h"

namespace baton::avx512 {

inline int64_t DotInt8(int64_t rounds) {
  constexpr int kChains = 16;
  constexpr int kProducts = 64;  // of one instruction
  const __m512i x = _mm512_set1_epi8(1), y = _mm512_set1_epi8(2);
  __m512i sum[kChains];
  // All different, or the compiler would keep one chain for all.
  Unroll<kChains>([&](auto c) { sum[c] = _mm512_set1_epi32(c); });
  for (int64_t round = 0; round < rounds; ++round) {
    Unroll<kChains>([&](auto c) { sum[c] = _mm512_dpbusd_epi32(sum[c], x, y); });
  }
  __m512i all = sum[0];
  Unroll<kChains>([&](auto c) { all = _mm512_add_epi32(all, sum[c]); });
  volatile int32_t result = _mm_cvtsi128_si32(_mm512_castsi512_si128(all));
  static_cast<void>(result);
  return rounds * kChains * kProducts * 2;
}

}  // namespace baton::avx512

#endif  // BATON_ENGINE_KERNELS_AVX512_PROBE_H_
