// A tiny model in this process, with every figure that can be had of it.
#include "coordinator/bench/bench_run.h"

#include <utility>

#include "engine/gguf/gguf_file.h"
#include "engine/pipeline/local_pipeline.h"
#include "engine/testing/model_maker.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

class BenchRunTest : public testing::Test {
 protected:
  void SetUp() override {
    ModelOptions model;
    model.type = TensorType::kQ4_0;
    const absl::StatusOr<std::string> path = MakeModel(model, testing::TempDir());
    ASSERT_TRUE(path.ok()) << path.status();
    const absl::StatusOr<GgufFile> file = GgufFile::Read(*path);
    ASSERT_TRUE(file.ok()) << file.status();
    absl::StatusOr<ModelSpec> spec = ModelSpec::Read(*file);
    ASSERT_TRUE(spec.ok()) << spec.status();
    spec_ = *std::move(spec);
    LocalStageOptions options;
    options.role = {{0, spec_.layer_count}, true, true};
    options.isa = BestIsa();
    options.kv_block_counts = {static_cast<int32_t>(SequenceFeeder::KvBlockCount(2, 64))};
    absl::StatusOr<std::unique_ptr<LocalStage>> stage = LocalStage::Load(*file, options);
    ASSERT_TRUE(stage.ok()) << stage.status();
    std::vector<std::unique_ptr<Stage>> stages;
    stages.push_back(*std::move(stage));
    pipeline_ = std::make_unique<LocalPipeline>(std::move(stages));
    feeder_ = std::make_unique<SequenceFeeder>(
        *pipeline_, SequenceFeederOptions{.vocabulary_size = spec_.vocabulary_size,
                                          .sequence_count = 2,
                                          .position_count = 64,
                                          .prompt_chunk = 16});
    setup_.spec = &spec_;
    setup_.feeder = feeder_.get();
    setup_.repetitions = 2;
  }

  ModelSpec spec_;
  std::unique_ptr<LocalPipeline> pipeline_;
  std::unique_ptr<SequenceFeeder> feeder_;
  BenchSetup setup_;
};

TEST_F(BenchRunTest, PromptsAndGenerationsHaveLimits) {
  const auto probe = HardwareProbe::Create(BestIsa(), 1, 1 << 20);
  ASSERT_TRUE(probe.ok()) << probe.status();
  setup_.prompt_probe = setup_.step_probe = probe->get();
  int told = 0;
  setup_.progress = [&](const std::string&) { ++told; };
  const BenchTest prompt = {.prompt_tokens = 24, .sequence_count = 2, .depth = 8};
  const BenchTest generation = {.generated_tokens = 4, .sequence_count = 2, .depth = 32};
  for (const BenchTest& test : {prompt, generation}) {
    const absl::StatusOr<BenchResult> result = RunBenchTest(test, setup_);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->test.Name(), test.Name());
    EXPECT_EQ(result->tokens_per_second.size(), 2u);
    EXPECT_GT(result->Mean(), 0);
    if (BestIsa() == Isa::kScalar && test.prompt_tokens > 0) continue;
    ASSERT_TRUE(result->limit.has_value());
    EXPECT_GT(result->limit->value, 0);
    EXPECT_GT(result->limit->share, 0);
  }
  EXPECT_GT(told, 0);
}

TEST_F(BenchRunTest, NoProbeNoLimit) {
  const absl::StatusOr<BenchResult> result = RunBenchTest({.generated_tokens = 2}, setup_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->limit.has_value());
}

}  // namespace
}  // namespace baton
