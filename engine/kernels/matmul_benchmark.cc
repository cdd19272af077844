// Products of the shape that a 1B model's feed-forward has, by instruction set, type, rows and
// threads: operations per second, and bytes of weights (as in the file) per second.
#include <algorithm>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "engine/base/thread_pool.h"
#include "engine/kernels/benchmark_support.h"
#include "engine/kernels/matmul.h"
#include "engine/quant/types.h"

namespace baton {
namespace {

constexpr int64_t kOutputs = 5632;
constexpr int64_t kColumns = 2048;
// Matrices take turns, so that weights come from memory, as in a model, and not from a cache.
constexpr uint64_t kMatrixSetBytes = uint64_t{128} << 20;

std::vector<PackedMatrix> MakeMatrices(TensorType type) {
  const uint64_t row_bytes = RowBytes(type, kColumns);
  // Equal bytes are a number in every type, and a small one.
  const std::vector<uint8_t> bytes(kRowGroup * row_bytes, 0x11);
  std::vector<PackedMatrix> matrices(kMatrixSetBytes / (kOutputs * row_bytes) + 1);
  for (PackedMatrix& matrix : matrices) {
    matrix = PackedMatrix::Create(type, kOutputs, kColumns, ActivationMode::kInt8).value();
    for (int64_t row = 0; row < kOutputs; row += kRowGroup) {
      matrix.PackRows(row, kRowGroup, bytes.data());
    }
  }
  return matrices;
}

// Of one type at a time: benchmarks run in the order in which they were registered.
const std::vector<PackedMatrix>& MatricesOf(TensorType type) {
  static std::map<TensorType, std::vector<PackedMatrix>> made;
  if (made.count(type) == 0) {
    made.clear();
    made[type] = MakeMatrices(type);
  }
  return made[type];
}

void BenchmarkMatMul(benchmark::State& state, const Kernels& kernels, TensorType type, int64_t rows,
                     int threads) {
  const std::vector<PackedMatrix>& matrices = MatricesOf(type);
  const std::vector<float> x = RandomFloats(rows * kColumns);
  std::vector<float> out(rows * kOutputs);
  ThreadPool pool(threads);
  MatMulInput input;
  input.Set(kernels, pool, x.data(), rows, kColumns, NeedsQuantizedInput(matrices.front()));
  size_t next = 0;
  for (auto _ : state) {
    MatMul(kernels, pool, matrices[next++ % matrices.size()], input, out.data(), kOutputs);
    benchmark::DoNotOptimize(out.data());
  }
  CountPerSecond(state, "ops", 2.0 * kOutputs * kColumns * static_cast<double>(rows));
  CountPerSecond(state, "bytes", static_cast<double>(kOutputs * RowBytes(type, kColumns)));
}

void RegisterAll() {
  std::vector<int> thread_counts = {1};
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  if (cores > 1) thread_counts.push_back(cores);
  for (const TypeTraits& traits : AllTypeTraits()) {
    if (!traits.is_weight) continue;
    for (const Kernels* kernels : AllKernels()) {
      for (const int64_t rows : {1, 4, 8, 32, 512}) {
        for (const int threads : thread_counts) {
          const std::string name = absl::StrCat("matmul/", IsaName(kernels->isa), "/", traits.name,
                                                "/rows:", rows, "/threads:", threads);
          benchmark::RegisterBenchmark(name.c_str(), BenchmarkMatMul, *kernels, traits.type, rows,
                                       threads)
              ->UseRealTime()
              ->Unit(benchmark::kMicrosecond);
        }
      }
    }
  }
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  baton::RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
