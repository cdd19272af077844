// What the hardware can do at best with one instruction set: loops that do nothing else, which the
// speed of real kernels is measured against.
#ifndef BATON_ENGINE_KERNELS_PROBE_H_
#define BATON_ENGINE_KERNELS_PROBE_H_

#include <cstdint>

namespace baton {

// Floats that a stream of read_max takes at a time: four cache lines, as many loads in flight.
inline constexpr int64_t kProbeReadFloats = 64;
// Most streams of read_max.
inline constexpr int kMaxProbeStreams = 4;

// Entries may be null where an instruction set has nothing of the kind. Thread-safe.
struct ProbeKernels {
  // `rounds` rounds of independent dot products of int8 by the instructions that quantized matmul
  // uses; returns how many operations that was: two per multiply-add.
  int64_t (*dot_int8)(int64_t rounds) = nullptr;
  // The same for fused multiply-adds of f32.
  int64_t (*fma_f32)(int64_t rounds) = nullptr;
  // The largest of `count` floats, none of which is NaN. They are read in `streams` runs of equal
  // length side by side, each prefetched so many bytes ahead (0: not at all). `count` is a multiple
  // of streams * kProbeReadFloats; data is aligned to a cache line.
  float (*read_max)(const float* data, int64_t count, int streams,
                    int64_t prefetch_bytes) = nullptr;
};

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_PROBE_H_
