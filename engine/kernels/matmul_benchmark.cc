// Products of the shapes that models have: operations and weight bytes per second, per type.
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "engine/base/thread_pool.h"
#include "engine/kernels/matmul.h"
#include "engine/quant/types.h"

namespace baton {
namespace {

// Arguments: tensor type id, outputs, columns, rows of x, threads.
void BM_MatMul(benchmark::State& state) {
  const TensorType type = static_cast<TensorType>(state.range(0));
  const int64_t outputs = state.range(1), columns = state.range(2), rows = state.range(3);
  // Equal bytes are a number in every type, and a small one.
  const std::vector<uint8_t> bytes(kRowGroup * RowBytes(type, columns), 0x11);
  auto w = PackedMatrix::Create(type, outputs, columns, ActivationMode::kInt8);
  if (!w.ok()) return state.SkipWithError("no memory");
  for (int64_t row = 0; row < outputs; row += kRowGroup) w->PackRows(row, kRowGroup, bytes.data());
  std::mt19937 random(1);
  std::vector<float> x(rows * columns), out(rows * outputs);
  for (float& v : x) v = static_cast<float>(random() >> 8) * 0x1p-23f - 1;
  const Kernels& kernels = KernelsFor(BestIsa());
  ThreadPool pool(static_cast<int>(state.range(4)));
  MatMulInput input;
  for (auto _ : state) {
    input.Set(kernels, pool, x.data(), rows, columns, NeedsQuantizedInput(*w));
    MatMul(kernels, pool, *w, input, out.data(), outputs);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetLabel(TraitsOf(type).name);
  state.counters["ops/s"] = benchmark::Counter(2.0 * static_cast<double>(outputs * columns * rows),
                                               benchmark::Counter::kIsIterationInvariantRate);
  state.counters["weights/s"] = benchmark::Counter(
      static_cast<double>(outputs) * static_cast<double>(RowBytes(type, columns)),
      benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1024);
}

void Shapes(benchmark::internal::Benchmark* benchmark) {
  for (const TypeTraits& traits : AllTypeTraits()) {
    if (!traits.is_weight) continue;
    for (int64_t rows : {1, 8, 512}) {
      benchmark->Args({static_cast<int64_t>(traits.type), 5632, 2048, rows, 1});
    }
  }
  const int64_t q4_1 = static_cast<int64_t>(TensorType::kQ4_1);
  for (int64_t threads : {1, 2}) {
    benchmark->Args({q4_1, 1536, 576, 1, threads});
    benchmark->Args({q4_1, 1536, 576, 512, threads});
    benchmark->Args({q4_1, 576, 1536, 512, threads});
  }
}
BENCHMARK(BM_MatMul)->Apply(Shapes)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace baton
