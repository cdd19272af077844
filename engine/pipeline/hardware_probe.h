// The best that this machine does with some threads, measured: what the speed of a pipeline is
// compared with. Machines drift by the minute, so measure beside what is compared.
#ifndef BATON_ENGINE_PIPELINE_HARDWARE_PROBE_H_
#define BATON_ENGINE_PIPELINE_HARDWARE_PROBE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/aligned_buffer.h"
#include "engine/base/thread_pool.h"
#include "engine/kernels/isa.h"
#include "engine/kernels/kernels.h"

namespace baton {

// A buffer beyond this tells nothing new: it is many times any cache.
inline constexpr uint64_t kMaxProbeBytes = uint64_t{1} << 30;

// Not thread-safe. Each measurement takes some tens of milliseconds, the first of memory more.
class HardwareProbe {
 public:
  // Memory is read in a buffer of `read_bytes`, at most kMaxProbeBytes, which it keeps: as many as
  // a step reads, since fewer may live in a cache. ResourceExhausted when memory is not to be had.
  // REQUIRES: CpuSupports(isa), thread_count >= 1.
  static absl::StatusOr<std::unique_ptr<HardwareProbe>> Create(Isa isa, int thread_count,
                                                               uint64_t read_bytes);

  // Multiplications and additions of int8 or f32 per second, by the instructions that products of
  // quantized or float weights are made of; 0 where the instruction set has none of its own.
  double Int8OperationsPerSecond() { return OperationsPerSecond(kernels_.probe.dot_int8); }
  double F32OperationsPerSecond() { return OperationsPerSecond(kernels_.probe.fma_f32); }

  // Bytes per second, in the best of several layouts: how many streams each thread reads, and how
  // far ahead it prefetches.
  double ReadBytesPerSecond();

 private:
  struct Layout {
    int streams;
    int64_t prefetch_bytes;
    double bytes_per_second;  // when last measured
  };

  HardwareProbe(Isa isa, int thread_count, AlignedBuffer buffer);
  double OperationsPerSecond(int64_t (*run)(int64_t rounds));
  double ReadBytesPerSecond(const Layout& layout);

  const Kernels& kernels_;
  ThreadPool pool_;
  const AlignedBuffer buffer_;
  std::vector<Layout> layouts_;  // all of them at first, then the best ones
};

}  // namespace baton

#endif  // BATON_ENGINE_PIPELINE_HARDWARE_PROBE_H_
