// What the micro benchmarks of kernels share.
#ifndef BATON_ENGINE_KERNELS_BENCHMARK_SUPPORT_H_
#define BATON_ENGINE_KERNELS_BENCHMARK_SUPPORT_H_

#include <cstdint>
#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "engine/kernels/isa.h"
#include "engine/kernels/kernels.h"

namespace baton {

// The tables of every instruction set that this CPU has.
inline std::vector<const Kernels*> AllKernels() {
  std::vector<const Kernels*> all;
  for (const Isa isa : SupportedIsas()) all.push_back(&KernelsFor(isa));
  return all;
}

// In [-1, 1), the same each time.
inline std::vector<float> RandomFloats(int64_t count) {
  std::mt19937 random(1);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random() >> 8) * 0x1p-23f - 1;
  return values;
}

// Adds a counter of so many per iteration, shown per second.
inline void CountPerSecond(benchmark::State& state, const char* name, double per_iteration) {
  state.counters[name] =
      benchmark::Counter(per_iteration, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_BENCHMARK_SUPPORT_H_
