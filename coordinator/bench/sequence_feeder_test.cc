// Against a pipeline that notes what it is fed.
#include "coordinator/bench/sequence_feeder.h"

#include <deque>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using testing::ElementsAre;

// "step: first+rows@first_block" of each span, with a ! where it is sampled.
class NotingPipeline : public Pipeline {
 public:
  int stage_count() const override { return 2; }
  absl::Status Submit(Batch batch, std::vector<OutputSpec> outputs) override {
    EXPECT_EQ(batch.step, steps.size());
    std::string& note = steps.emplace_back();
    for (size_t i = 0; i < batch.spans.size(); ++i) {
      const Span& span = batch.spans[i];
      tables.push_back(span.block_table);
      const bool sampled = outputs[i].kind == OutputSpec::Kind::kSample;
      absl::StrAppend(&note, i == 0 ? "" : " ", span.first_position, "+", span.row_count(), "@",
                      span.block_table[0], sampled ? "!" : "");
    }
    waiting_.push_back(std::move(batch));
    most_in_flight = std::max(most_in_flight, waiting_.size());
    return absl::OkStatus();
  }
  absl::StatusOr<StepResult> Next() override {
    StepResult result;
    result.outputs.resize(waiting_.front().spans.size());
    for (SpanOutput& output : result.outputs) output.samples.resize(1);
    waiting_.pop_front();
    return result;
  }
  absl::StatusOr<std::vector<StageStats>> Stats() override { return std::vector<StageStats>(); }

  std::vector<std::string> steps;
  std::vector<std::vector<int32_t>> tables;  // of all spans
  size_t most_in_flight = 0;

 private:
  std::deque<Batch> waiting_;
};

SequenceFeederOptions Options(int32_t prompt_chunk) {
  SequenceFeederOptions options;
  options.vocabulary_size = 7;
  options.sequence_count = 2;
  options.position_count = 40;
  options.prompt_chunk = prompt_chunk;
  return options;
}

TEST(SequenceFeederTest, ChunksRunOverTheEndsOfSequences) {
  NotingPipeline pipeline;
  SequenceFeeder feeder(pipeline, Options(8));
  EXPECT_EQ(SequenceFeeder::KvBlockCount(2, 40), 4);
  EXPECT_EQ(SequenceFeeder::KvBlockCount(8192, 1 << 24), int64_t{8192} << 19);
  ASSERT_TRUE(feeder.FeedPrompts(2, 0, 12).ok());
  EXPECT_THAT(pipeline.steps, ElementsAre("0+8@0", "8+4@0! 0+4@2", "4+8@2!"));
}

TEST(SequenceFeederTest, TablesHaveWhatRowsSeeInEveryGroup) {
  NotingPipeline pipeline;
  SequenceFeederOptions options = Options(4);
  options.cache_groups = {{}, {.window = 4, .layers = {}}};
  SequenceFeeder feeder(pipeline, options);
  ASSERT_TRUE(feeder.FeedPrompts(2, 34, 4).ok());
  // The first rows of the two sequences see position 31, in their first blocks.
  EXPECT_THAT(pipeline.tables, ElementsAre(ElementsAre(0, 1, 0, 1), ElementsAre(2, 3, 2, 3)));
  pipeline.tables.clear();
  ASSERT_TRUE(feeder.FeedPrompts(1, 35, 4).ok());
  EXPECT_THAT(pipeline.tables, ElementsAre(ElementsAre(0, 1, 1)));
}

TEST(SequenceFeederTest, KeepsAllStagesBusyAndNoMore) {
  NotingPipeline pipeline;
  SequenceFeeder feeder(pipeline, Options(4));
  ASSERT_TRUE(feeder.FeedPrompts(1, 0, 40).ok());
  EXPECT_EQ(pipeline.steps.size(), 10u);
  EXPECT_EQ(pipeline.most_in_flight, 3u);
}

TEST(SequenceFeederTest, GeneratesOneRowPerSequence) {
  NotingPipeline pipeline;
  SequenceFeeder feeder(pipeline, Options(8));
  ASSERT_TRUE(feeder.Generate(2, 30, 2).ok());
  EXPECT_THAT(pipeline.steps, ElementsAre("30+1@0! 30+1@2!", "31+1@0! 31+1@2!"));
  EXPECT_EQ(pipeline.most_in_flight, 1u);
}

TEST(SequenceFeederTest, FillsWhatIsMissing) {
  NotingPipeline pipeline;
  SequenceFeeder feeder(pipeline, Options(32));
  ASSERT_TRUE(feeder.FillTo(1, 16).ok());
  ASSERT_TRUE(feeder.FillTo(1, 10).ok());
  EXPECT_EQ(pipeline.steps.size(), 1u);
  ASSERT_TRUE(feeder.Generate(1, 16, 2).ok());
  ASSERT_TRUE(feeder.FillTo(1, 20).ok());
  EXPECT_EQ(pipeline.steps.back(), "18+2@0!");
  ASSERT_TRUE(feeder.FillTo(2, 4).ok());
  EXPECT_EQ(pipeline.steps.back(), "0+4@0! 0+4@2!");
}

TEST(SequenceFeederTest, EndsWhenTold) {
  NotingPipeline pipeline;
  SequenceFeederOptions options = Options(8);
  options.keep_going = [&] { return pipeline.steps.size() < 2; };
  SequenceFeeder feeder(pipeline, options);
  EXPECT_EQ(feeder.Generate(1, 0, 10).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(pipeline.steps.size(), 2u);
}

}  // namespace
}  // namespace baton
