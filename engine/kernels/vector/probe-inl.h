// The probes over F32x16; the rules of elementwise-inl.h apply.

#include <cstdint>

#include "engine/kernels/kernels.h"
#include "engine/kernels/probe.h"
#include "engine/kernels/vector/unroll.h"

namespace baton::BATON_VECTOR_NAMESPACE {

// kChains: as many as the registers hold beside the two factors, so that the latency of one hides
// behind the others.
template <int kChains>
int64_t FmaF32(int64_t rounds) {
  const F32x16 x = Set1(1), y = Set1(0x1p-30f);
  // Every float is another one and has a part in the result, or the compiler would keep one
  // register for those that are the same, and none for those that nobody asks for.
  float start[kChains * kLanes];
  for (int i = 0; i < kChains * kLanes; ++i) start[i] = static_cast<float>(i);
  F32x16 sum[kChains];
  Unroll<kChains>([&](auto c) { sum[c] = Load(start + c * kLanes); });
  for (int64_t round = 0; round < rounds; ++round) {
    Unroll<kChains>([&](auto c) { sum[c] = Fma(x, y, sum[c]); });
  }
  F32x16 all = sum[0];
  Unroll<kChains>([&](auto c) { all = Add(all, sum[c]); });
  // Whoever reads this knows that the loop must have run.
  volatile float result = MaxLane(all);
  static_cast<void>(result);
  return rounds * kChains * kLanes * 2;
}

inline float ReadMax(const float* data, int64_t count, int streams, int64_t prefetch_bytes) {
  constexpr int kLoads = kProbeReadFloats / kLanes;
  const int64_t length = count / streams;
  const F32x16 least = Set1(-__builtin_inff());
  F32x16 most[kLoads] = {least, least, least, least};
  for (int64_t at = 0; at < length; at += kProbeReadFloats) {
    for (int stream = 0; stream < streams; ++stream) {
      const float* p = data + stream * length + at;
      if (prefetch_bytes != 0) {
        const char* ahead = reinterpret_cast<const char*>(p) + prefetch_bytes;
        Unroll<kLoads>([&](auto i) { __builtin_prefetch(ahead + i * 64); });
      }
      Unroll<kLoads>([&](auto i) { most[i] = Max(most[i], Load(p + i * kLanes)); });
    }
  }
  return MaxLane(Max(Max(most[0], most[1]), Max(most[2], most[3])));
}

}  // namespace baton::BATON_VECTOR_NAMESPACE
