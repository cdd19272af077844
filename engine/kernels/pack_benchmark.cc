// What a load does with bytes once they are in memory, per type, in file bytes per second on one
// core: the search for numbers that are not finite, packing; beside them, what copying costs. And
// what it takes to look up a row of 5632 columns.
#include <algorithm>
#include <cstring>
#include <vector>

#include "benchmark/benchmark.h"
#include "engine/kernels/pack_group.h"
#include "engine/kernels/packed_block.h"
#include "engine/kernels/packed_matrix.h"
#include "engine/quant/dequantize.h"
#include "engine/quant/types.h"

namespace baton {
namespace {

constexpr int64_t kColumns = 5632;

// Sixteen rows of zeros and room for their group: what fits in a level-2 cache.
struct Group {
  explicit Group(TensorType t, PackedFormat f) : type(t), format(f) {}
  const TensorType type;
  const PackedFormat format;
  std::vector<uint8_t> rows = std::vector<uint8_t>(kRowGroup * RowBytes(type, kColumns));
  std::vector<uint8_t> packed =
      std::vector<uint8_t>(kColumns / PackedUnitColumns(format) * PackedUnitBytes(format));
};

Group GroupOf(const benchmark::State& state) {
  const TensorType type = static_cast<TensorType>(state.range(0));
  return Group(type, state.range(1) != 0 ? PackedFormat::kF32 : PackedFormatOf(type));
}

void Report(const Group& group, benchmark::State& state) {
  state.SetLabel(TraitsOf(group.type).name);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(group.rows.size()));
}

void BM_Copy(benchmark::State& state) {
  Group group = GroupOf(state);
  for (auto _ : state) {
    std::memcpy(group.packed.data(), group.rows.data(),
                std::min(group.rows.size(), group.packed.size()));
    benchmark::DoNotOptimize(group.packed.data());
    benchmark::ClobberMemory();
  }
  Report(group, state);
}

void BM_FindNonFinite(benchmark::State& state) {
  const Group group = GroupOf(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        FindNonFinite(group.type, group.rows.data(), kRowGroup * kColumns).has_value());
  }
  Report(group, state);
}

void BM_PackGroup(benchmark::State& state) {
  Group group = GroupOf(state);
  for (auto _ : state) {
    PackGroup(group.type, group.format, group.rows.data(), kColumns, group.packed.data());
    benchmark::ClobberMemory();
  }
  Report(group, state);
}

void BM_DequantizeRow(benchmark::State& state) {
  const Group group = GroupOf(state);
  auto matrix = PackedMatrix::Create(group.type, kRowGroup, kColumns, ActivationMode::kInt8);
  if (!matrix.ok()) return state.SkipWithError("no memory");
  matrix->PackRows(0, kRowGroup, group.rows.data());
  std::vector<float> row(kColumns);
  for (auto _ : state) {
    matrix->DequantizeRow(3, row.data());
    benchmark::ClobberMemory();
  }
  state.SetLabel(TraitsOf(group.type).name);
}

// Arguments: tensor type id, whether to dequantize.
void Types(benchmark::internal::Benchmark* benchmark) {
  for (const TypeTraits& traits : AllTypeTraits()) {
    if (traits.is_weight) benchmark->Args({static_cast<int64_t>(traits.type), 0});
  }
}
void TypesDequantized(benchmark::internal::Benchmark* benchmark) {
  for (const TypeTraits& traits : AllTypeTraits()) {
    if (traits.is_weight) benchmark->Args({static_cast<int64_t>(traits.type), 1});
  }
}
BENCHMARK(BM_Copy)->Args({static_cast<int64_t>(TensorType::kQ4_0), 0});
BENCHMARK(BM_FindNonFinite)->Apply(Types);
BENCHMARK(BM_DequantizeRow)->Apply(Types);
BENCHMARK(BM_PackGroup)->Apply(Types)->Apply(TypesDequantized);

}  // namespace
}  // namespace baton
