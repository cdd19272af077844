// All kernels but the products, by instruction set, in the sizes of a 1B model on one thread: bytes
// or operations per second.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "benchmark/benchmark.h"
#include "engine/base/thread_pool.h"
#include "engine/kernels/attention.h"
#include "engine/kernels/benchmark_support.h"

namespace baton {
namespace {

constexpr int64_t kWidth = 2048;
constexpr int64_t kFeedForward = 5632;
constexpr int kHeads = 32;
constexpr int kKvHeads = 4;
constexpr int kHeadSize = 64;

// `run` works on kWidth or kFeedForward floats, `bytes` of which are read and written.
template <typename Run>
void Add(const std::string& name, const Kernels& kernels, int64_t bytes, const Run& run) {
  benchmark::RegisterBenchmark(absl::StrCat(name, "/", IsaName(kernels.isa)).c_str(),
                               [&kernels, bytes, run](benchmark::State& state) {
                                 std::vector<float> x = RandomFloats(kFeedForward),
                                                    y = RandomFloats(kFeedForward);
                                 for (auto _ : state) {
                                   run(kernels, x.data(), y.data());
                                   benchmark::ClobberMemory();
                                 }
                                 CountPerSecond(state, "bytes", static_cast<double>(bytes));
                               });
}

void AddElementwise(const Kernels& kernels) {
  Add("rms_norm", kernels, 3 * kWidth * 4, [](const Kernels& k, float* x, const float* weight) {
    k.rms_norm(x, weight, 1e-5f, kWidth, x);
  });
  Add("layer_norm", kernels, 4 * kWidth * 4, [](const Kernels& k, float* x, const float* weight) {
    static std::vector<float> out(kWidth);
    k.layer_norm(x, weight, weight, 1e-5f, kWidth, out.data());
  });
  Add("quantize_row", kernels, kWidth * 4 + kWidth, [](const Kernels& k, float* x, const float*) {
    static QuantizedBlock blocks[kWidth / kActivationBlock];
    k.quantize_row(x, {blocks, kWidth / kActivationBlock}, 0);
  });
  for (const bool gelu : {false, true}) {
    Add(gelu ? "gelu_multiply" : "silu_multiply", kernels, 3 * kFeedForward * 4,
        [gelu](const Kernels& k, float* x, const float* up) {
          static std::vector<float> out(kFeedForward);
          (gelu ? k.gelu_multiply : k.silu_multiply)(x, up, kFeedForward, out.data());
        });
  }
  Add("add", kernels, 3 * kWidth * 4,
      [](const Kernels& k, float* x, const float* y) { k.add(x, y, kWidth); });
  Add("to_half", kernels, kWidth * 6, [](const Kernels& k, float* x, const float*) {
    static uint16_t halves[kWidth];
    k.to_half(x, kWidth, halves);
  });
  // One row of queries: every head is turned by the same angles.
  for (const bool halves : {false, true}) {
    Add(halves ? "rope_halves" : "rope_adjacent", kernels, 2 * kWidth * 4,
        [halves](const Kernels& k, float* x, const float* angles) {
          for (int head = 0; head < kHeads; ++head) {
            (halves ? k.rope_halves : k.rope_adjacent)(x + head * kHeadSize, angles,
                                                       angles + kHeadSize / 2, kHeadSize / 2);
          }
        });
  }
}

// K and V of `positions` random positions.
class Cache {
 public:
  Cache(const KvLayout& layout, int64_t positions)
      : memory_((positions / kKvBlockTokens + 1) * layout.LayerBytes() + kLanes * sizeof(float)) {
    const Kernels& kernels = KernelsFor(BestIsa());
    const std::vector<float> values = RandomFloats(layout.head_count * layout.key_size);
    for (int64_t position = 0; position < positions; ++position) {
      const int slot = static_cast<int>(position % kKvBlockTokens);
      uint8_t* block = memory_.data() + position / kKvBlockTokens * layout.LayerBytes();
      if (slot == 0) blocks_.push_back(block);
      StoreKeyValue(kernels, layout, block, slot, values.data(), values.data());
    }
  }
  const uint8_t* const* blocks() const { return blocks_.data(); }

 private:
  AlignedBuffer memory_;
  std::vector<const uint8_t*> blocks_;
};

// The last `rows` of `positions` positions attend.
struct AttentionCase {
  const char* name;
  int64_t rows;
  int64_t positions;
  int window = 0;
  int heads = kHeads;
  KvLayout layout = {KvType::kF16, kKvHeads, kHeadSize, kHeadSize};
};

void BenchmarkAttention(benchmark::State& state, const Kernels& kernels, const AttentionCase& c) {
  const auto& [name, rows, positions, window, heads, layout] = c;
  const Cache cache(layout, positions);
  const std::vector<float> query = RandomFloats(rows * heads * layout.key_size);
  std::vector<float> out(rows * heads * layout.value_size);
  AttentionShape shape;
  shape.layout = layout;
  shape.query_head_count = heads;
  shape.scale = 0.125f;
  shape.window = window;
  AttentionRows sequence;
  sequence.row_count = rows;
  sequence.first_position = positions - rows;
  sequence.query = query.data();
  sequence.out = out.data();
  sequence.blocks = cache.blocks();
  ThreadPool pool(1);
  AttentionScratch scratch;
  for (auto _ : state) {
    Attend(kernels, pool, shape, absl::MakeConstSpan(&sequence, 1), scratch);
    benchmark::DoNotOptimize(out.data());
  }
  int64_t seen = 0;  // by all rows
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t before = positions - rows + i + 1;
    seen += window == 0 ? before : std::min<int64_t>(window, before);
  }
  const int64_t read = window == 0 ? positions : std::min(positions, window + rows - 1);
  CountPerSecond(state, "ops", 2.0 * seen * heads * (layout.key_size + layout.value_size));
  CountPerSecond(state, "bytes", static_cast<double>(layout.LayerBytes()) * read / kKvBlockTokens);
}

void AddAttention(const Kernels& kernels) {
  const KvLayout latent = {KvType::kF16, 1, 576, 512, true};  // as DeepSeek-V2-Lite has it
  for (AttentionCase c : {AttentionCase{"decode", 1, 128}, AttentionCase{"decode", 1, 4096},
                          AttentionCase{"prefill", 512, 512}, AttentionCase{"prefill", 512, 4096},
                          AttentionCase{"decode_window_1024", 1, 8192, 1024},
                          AttentionCase{"prefill_window_1024", 512, 8192, 1024},
                          AttentionCase{"decode_latent", 1, 2048, 0, 16, latent},
                          AttentionCase{"prefill_latent", 64, 2048, 0, 16, latent}}) {
    for (const KvType type : {KvType::kF16, KvType::kQ8_0, KvType::kF32}) {
      c.layout.type = type;
      const std::string name = absl::StrCat("attention/", c.name, "/", KvTypeName(type),
                                            "/positions:", c.positions, "/", IsaName(kernels.isa));
      benchmark::RegisterBenchmark(name.c_str(), BenchmarkAttention, kernels, c)
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  for (const baton::Kernels* kernels : baton::AllKernels()) {
    baton::AddElementwise(*kernels);
    baton::AddAttention(*kernels);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
