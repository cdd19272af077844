// The peak of int8 with NEON: sdot alone.
#ifndef BATON_ENGINE_KERNELS_NEON_PROBE_H_
#define BATON_ENGINE_KERNELS_NEON_PROBE_H_

#include <arm_neon.h>

#include <cstdint>

#include "engine/kernels/vector/unroll.h"

namespace baton::neon {

inline int64_t DotInt8(int64_t rounds) {
  constexpr int kChains = 16;
  constexpr int kProducts = 16;  // of one instruction
  const int8x16_t x = vdupq_n_s8(1), y = vdupq_n_s8(2);
  int32x4_t sum[kChains];
  // All different, or the compiler would keep one chain for all.
  Unroll<kChains>([&](auto c) { sum[c] = vdupq_n_s32(c); });
  for (int64_t round = 0; round < rounds; ++round) {
    Unroll<kChains>([&](auto c) { sum[c] = vdotq_s32(sum[c], x, y); });
  }
  int32x4_t all = sum[0];
  Unroll<kChains>([&](auto c) { all = vaddq_s32(all, sum[c]); });
  volatile int32_t result = vgetq_lane_s32(all, 0);
  static_cast<void>(result);
  return rounds * kChains * kProducts * 2;
}

}  // namespace baton::neon

#endif  // BATON_ENGINE_KERNELS_NEON_PROBE_H_
