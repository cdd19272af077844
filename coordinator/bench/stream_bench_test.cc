#include "coordinator/bench/stream_bench.h"

#include "coordinator/scheduler/fake_pipeline.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(PercentileTest, IsAValueOfTheList) {
  const std::vector<double> values = {1, 2, 3, 4};
  EXPECT_EQ(Percentile(values, 0.5), 2);
  EXPECT_EQ(Percentile(values, 0.99), 4);
  EXPECT_EQ(Percentile(values, 0), 1);
  EXPECT_EQ(Percentile({7}, 0.5), 7);
}

TEST(MergeTest, KeepsAllLatencies) {
  StreamResult a, b;
  a.tokens_per_second = 10;
  a.first_token_ms = {3};
  a.stages = {{.compute = 0.5, .send_wait = 0, .input_wait = 0.5}};
  b.tokens_per_second = 20;
  b.first_token_ms = {1};
  b.stages = {{.compute = 1, .send_wait = 0, .input_wait = 0}};
  const StreamResult merged = Merge({a, b});
  EXPECT_EQ(merged.tokens_per_second, 15);
  EXPECT_EQ(merged.first_token_ms, (std::vector<double>{1, 3}));
  EXPECT_EQ(merged.stages[0].compute, 0.75);
}

class StreamBenchTest : public testing::Test {
 protected:
  StreamBenchTest() {
    SchedulerOptions options;
    options.kv_block_counts = {64};
    options.context_length = 64;
    options.vocabulary_size = kFakeVocabulary;
    options.on_step = [this](const StepRecord& record) { clock_.Add(record); };
    scheduler_.emplace(pipeline_, std::move(options));
  }
  absl::StatusOr<StreamResult> Run(const StreamTest& test) {
    return RunStreamTest(test, kFakeVocabulary, /*seed=*/1, Speculation::kOff, *scheduler_, clock_,
                         [] { return true; });
  }
  FakePipeline pipeline_{2};
  StageClock clock_;
  std::optional<Scheduler> scheduler_;
};

TEST_F(StreamBenchTest, MeasuresEveryTokenOfEveryStream) {
  const absl::StatusOr<StreamResult> result =
      Run({.stream_count = 3, .prompt_tokens = 5, .generated_tokens = 10});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->first_token_ms.size(), 3u);
  EXPECT_EQ(result->inter_token_ms.size(), 3u * 9);
  EXPECT_TRUE(std::is_sorted(result->inter_token_ms.begin(), result->inter_token_ms.end()));
  EXPECT_GT(result->tokens_per_second, 0);
  // All steps are counted, the last one too: each takes 2 ms, as the pipeline says.
  EXPECT_EQ(clock_.Take()[0].compute_ms, 0);
  ASSERT_EQ(result->stages.size(), 2u);
  for (const StageShares& stage : result->stages) {
    EXPECT_DOUBLE_EQ(stage.compute + stage.send_wait + stage.input_wait, 1);
  }
}

TEST_F(StreamBenchTest, AFailureIsTold) {
  pipeline_.lost_at = 3;
  EXPECT_FALSE(Run({.stream_count = 2, .prompt_tokens = 5, .generated_tokens = 10}).ok());
}

TEST(StageClockTest, SumsUntilTaken) {
  StageClock clock;
  StepRecord record;
  record.stages = {{1, 2, 3}, {4, 5, 6}};
  clock.Add(record);
  clock.Add(record);
  const std::vector<StageTiming> sums = clock.Take();
  ASSERT_EQ(sums.size(), 2u);
  EXPECT_EQ(sums[0].compute_ms, 2);
  EXPECT_EQ(sums[1].input_wait_ms, 10);
  EXPECT_EQ(sums[1].send_wait_ms, 12);
  EXPECT_EQ(clock.Take()[0].compute_ms, 0);
}

}  // namespace
}  // namespace baton
