// What the KV cache of a model with windows takes of memory at a context far beyond them, measured:
// as much as its blocks are counted, and a part of what the same model without windows takes.
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/cli/kv_sizes.h"
#include "coordinator/scheduler/complete.h"
#include "coordinator/scheduler/kv_blocks.h"
#include "coordinator/scheduler/pacing.h"
#include "coordinator/scheduler/scheduler.h"
#include "engine/model/cache_groups.h"
#include "engine/pipeline/local_pipeline.h"
#include "engine/pipeline/local_stage.h"
#include "engine/testing/tiny_model.h"
#include "gtest/gtest.h"
#include "tests/stage_chain.h"

namespace baton {
namespace {

constexpr int32_t kContext = 4096;
constexpr int kWindow = 128;
// Memory is taken in huge pages, at each end of what is written; the rest is the scheduler's.
constexpr double kTolerance = 6 << 20;

// Five layers with a window and one without, 2 KiB of K and V for a position in each.
std::string MakeGemma(int window) {
  TinyModel model("gemma3", {});
  model.SetShape({.layer_count = 6,
                  .head_count = 2,
                  .kv_head_count = 2,
                  .key_size = 256,
                  .context_length = 2 * kContext});
  model.SetCount("attention.sliding_window", window);
  model.AddEnds(/*tied=*/true);
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention();
    model.AddHeadNorm("attn_q_norm", model.key_size());
    model.AddHeadNorm("attn_k_norm", model.key_size());
    model.AddNorm("post_attention_norm");
    model.AddNorm("ffn_norm");
    model.AddFeedForward();
    model.AddNorm("post_ffw_norm");
  });
  std::string path = testing::TempDir() + "/window-" + std::to_string(window) + ".gguf";
  EXPECT_TRUE(model.Write(path).ok());
  return path;
}

struct Bytes {
  double counted = 0;
  double measured = 0;
};

// Of what a sequence of the whole context takes beyond one of a single chunk.
Bytes BytesOfContext(const std::string& path) {
  const GgufFile file = GgufFile::Read(path).value();
  const ModelSpec spec = ModelSpec::Read(file).value();
  const LayerRange layers = {0, spec.layer_count};
  const std::vector<CacheGroup> groups = CacheGroupsOf(spec);
  const std::vector<uint64_t> block_bytes = KvBlockBytes(spec, layers, KvType::kF16);
  const std::vector<int32_t> counts =
      KvSizes(groups, {block_bytes}).Counts(BlocksFor(kContext), kContext);

  LocalStageOptions stage;
  stage.role = {layers, true, true};
  stage.isa = BestIsa();
  stage.thread_count = 2;
  stage.kv_block_counts = counts;
  std::vector<std::unique_ptr<Stage>> stages;
  stages.push_back(LocalStage::Load(file, stage).value());
  LocalPipeline pipeline(std::move(stages));
  SchedulerOptions options;
  options.cache_groups = groups;
  options.kv_block_counts = counts;
  options.context_length = kContext;
  options.vocabulary_size = spec.vocabulary_size;
  options.prompt_chunk = kMaxPromptChunk;
  Scheduler scheduler(pipeline, options);
  const auto resident_after = [&](int32_t positions) {
    Request request;
    request.prompt = RandomTokens(positions, spec.vocabulary_size, positions);
    request.max_tokens = 1;
    EXPECT_TRUE(Complete(scheduler, request).ok());
    return static_cast<double>(pipeline.Stats().value()[0].resident_bytes);
  };
  Bytes bytes;
  bytes.measured = -resident_after(kMaxPromptChunk);
  bytes.measured += resident_after(kContext);
  for (size_t i = 0; i < groups.size(); ++i) {
    bytes.counted += static_cast<double>(block_bytes[i]) * (counts[i] - BlocksFor(kMaxPromptChunk));
  }
  std::printf("%zu cache groups: %.1f MiB counted, %.1f MiB measured\n", groups.size(),
              bytes.counted / (1 << 20), bytes.measured / (1 << 20));
  return bytes;
}

TEST(WindowMemoryTest, IsThatOfTheWindowsBlocks) {
  const Bytes windows = BytesOfContext(MakeGemma(kWindow));
  EXPECT_NEAR(windows.measured, windows.counted, kTolerance);
  const Bytes full = BytesOfContext(MakeGemma(2 * kContext));
  EXPECT_NEAR(full.measured, full.counted, kTolerance);
  EXPECT_LT(2 * windows.measured, full.measured);
}

}  // namespace
}  // namespace baton
