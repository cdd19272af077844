#include "coordinator/scheduler/generator.h"

#include <numeric>

#include "coordinator/scheduler/fake_pipeline.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr int32_t kBlocks = 20;

std::vector<int32_t> Prompt(int32_t count) {
  std::vector<int32_t> tokens(count);
  for (int32_t i = 0; i < count; ++i) tokens[i] = (i * i * 5 + 3) % kFakeVocabulary;
  return tokens;
}

std::vector<int32_t> Answer(std::vector<int32_t> tokens, int32_t count) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < count; ++i) {
    ids.push_back(FakeNextToken(tokens));
    tokens.push_back(ids.back());
  }
  return ids;
}

GenerationRequest Request(int32_t prompt_tokens, int32_t max_tokens) {
  GenerationRequest request;
  request.prompt = Prompt(prompt_tokens);
  request.max_tokens = max_tokens;
  request.context_length = kBlocks * kKvBlockTokens;
  return request;
}

class GeneratorTest : public testing::Test {
 protected:
  absl::StatusOr<Generation> Run(const GenerationRequest& request) {
    return Generate(request, steps_, sequence_);
  }

  FakePipeline pipeline_{3};
  StepQueue steps_{pipeline_};
  KvBlockAllocator blocks_{kBlocks};
  Sequence sequence_{steps_, blocks_, 7};
};

TEST_F(GeneratorTest, SaysWhatTheModelSays) {
  const absl::StatusOr<Generation> generation = Run(Request(100, 40));
  ASSERT_TRUE(generation.ok()) << generation.status();
  EXPECT_EQ(generation->ids, Answer(Prompt(100), 40));
  EXPECT_EQ(generation->finish_reason, FinishReason::kLength);
  EXPECT_EQ(generation->timings.prompt_tokens, 100);
  EXPECT_EQ(generation->timings.generated_tokens, 40);
  EXPECT_EQ(generation->timings.decode_stages.step_count, 39);
  EXPECT_EQ(generation->timings.decode_stages.compute_ms, (std::vector<double>(3, 78.0)));
}

TEST_F(GeneratorTest, CutsThePromptAndKeepsEveryStageBusy) {
  ASSERT_TRUE(Run(Request(100, 3)).ok());
  std::vector<int64_t> rows(14, 7);
  rows.insert(rows.end(), {2, 1, 1});
  EXPECT_EQ(pipeline_.rows, rows);
  EXPECT_EQ(pipeline_.most_in_flight, 4u);
}

TEST_F(GeneratorTest, ChunksDoNotChangeTheAnswer) {
  for (const int32_t chunk : {0, 1, 64, 1000}) {
    Sequence sequence(steps_, blocks_, chunk);
    const absl::StatusOr<Generation> generation = Generate(Request(150, 5), steps_, sequence);
    ASSERT_TRUE(generation.ok()) << generation.status();
    EXPECT_EQ(generation->ids, Answer(Prompt(150), 5));
  }
  EXPECT_EQ(blocks_.free_count(), kBlocks);
}

TEST_F(GeneratorTest, TheEndTokenIsNoPartOfTheAnswer) {
  GenerationRequest request = Request(10, -1);
  const std::vector<int32_t> expected = Answer(request.prompt, 4);
  request.is_end = [&](int32_t id) { return id == expected[3]; };
  const absl::StatusOr<Generation> generation = Run(request);
  ASSERT_TRUE(generation.ok());
  EXPECT_EQ(generation->ids, Answer(request.prompt, 3));
  EXPECT_EQ(generation->finish_reason, FinishReason::kStop);
}

TEST_F(GeneratorTest, TheListenerCanEndTheAnswer) {
  GenerationRequest request = Request(10, 50);
  int calls = 0;
  request.on_token = [&](const SpanOutput&) { return ++calls < 5; };
  const absl::StatusOr<Generation> generation = Run(request);
  ASSERT_TRUE(generation.ok());
  EXPECT_EQ(generation->ids.size(), 5u);
  EXPECT_EQ(generation->finish_reason, FinishReason::kStop);
}

TEST_F(GeneratorTest, TheContextsEndIsALength) {
  GenerationRequest request = Request(10, -1);
  request.context_length = 16;
  const absl::StatusOr<Generation> generation = Run(request);
  ASSERT_TRUE(generation.ok());
  // Positions 10 to 15 are evaluated, and what follows the last is still said.
  EXPECT_EQ(generation->ids, Answer(request.prompt, 7));
  EXPECT_EQ(generation->finish_reason, FinishReason::kLength);
}

TEST_F(GeneratorTest, NoTokensWantedIsAPromptEvaluated) {
  const absl::StatusOr<Generation> generation = Run(Request(10, 0));
  ASSERT_TRUE(generation.ok());
  EXPECT_TRUE(generation->ids.empty());
  EXPECT_EQ(generation->finish_reason, FinishReason::kLength);
  EXPECT_EQ(pipeline_.rows, (std::vector<int64_t>{7, 3}));
  EXPECT_TRUE(pipeline_.asked.empty());
}

TEST_F(GeneratorTest, RefusesAPromptLongerThanTheContext) {
  GenerationRequest request = Request(17, 1);
  request.context_length = 16;
  const absl::Status status = Run(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("17"), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("16"), absl::string_view::npos) << status;
  EXPECT_FALSE(Run(Request(0, 1)).ok());
}

TEST_F(GeneratorTest, TellsTheSamplerWhereItIsAndWhatWasSaid) {
  GenerationRequest request = Request(10, 3);
  request.sampling.repeat_last_n = 4;
  request.sampling.presence_penalty = 0.5f;
  request.sampling.seed = 11;
  request.logit_bias = {{5, 1.0f}};
  request.top_logprobs = 2;
  ASSERT_TRUE(Run(request).ok());
  ASSERT_EQ(pipeline_.asked.size(), 3u);
  std::vector<int32_t> tokens = request.prompt;
  const std::vector<int32_t> answer = Answer(tokens, 3);
  for (int i = 0; i < 3; ++i) {
    const SampleSpec& spec = pipeline_.asked[i].sample;
    EXPECT_EQ(spec.counter, tokens.size());
    EXPECT_EQ(spec.history, (std::vector<int32_t>(tokens.end() - 4, tokens.end())));
    EXPECT_EQ(spec.params.seed, 11u);
    EXPECT_EQ(spec.logit_bias, request.logit_bias);
    EXPECT_EQ(spec.top_logprobs, 2);
    tokens.push_back(answer[i]);
  }
}

TEST_F(GeneratorTest, SendsNoHistoryThatNobodyReads) {
  ASSERT_TRUE(Run(Request(10, 1)).ok());
  EXPECT_TRUE(pipeline_.asked.at(0).sample.history.empty());
}

TEST_F(GeneratorTest, TakesUpWhatThePromptHasInCommonWithTheLastOne) {
  ASSERT_TRUE(Run(Request(50, 4)).ok());
  pipeline_.rows.clear();
  GenerationRequest request = Request(50, 2);
  request.prompt[30] = 1;
  const absl::StatusOr<Generation> generation = Run(request);
  ASSERT_TRUE(generation.ok());
  EXPECT_EQ(generation->ids, Answer(request.prompt, 2));
  EXPECT_EQ(generation->timings.prompt_tokens, 20);
  EXPECT_EQ(std::accumulate(pipeline_.rows.begin(), pipeline_.rows.end(), int64_t{0}), 21);
}

TEST_F(GeneratorTest, TheSamePromptAgainCostsOneRow) {
  const absl::StatusOr<Generation> first = Run(Request(50, 4));
  pipeline_.rows.clear();
  const absl::StatusOr<Generation> second = Run(Request(50, 1));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->ids[0], first->ids[0]);
  EXPECT_EQ(pipeline_.rows, std::vector<int64_t>{1});
}

TEST_F(GeneratorTest, AFailedStepEndsTheRequestAndNothingElse) {
  pipeline_.fail_step = 3;
  const absl::Status status = Run(Request(100, 5)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  pipeline_.fail_step = -1;
  const absl::StatusOr<Generation> again = Run(Request(100, 5));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->ids, Answer(Prompt(100), 5));
  EXPECT_EQ(again->timings.prompt_tokens, 100);
}

TEST_F(GeneratorTest, APipelineThatIsGoneIsAnError) {
  pipeline_.fail_submit_at = 5;
  EXPECT_EQ(Run(Request(100, 5)).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(GeneratorTest, RunsOutOfBlocksWithAnError) {
  GenerationRequest request = Request(kBlocks * kKvBlockTokens + 1, 1);
  request.context_length = 1 << 20;
  EXPECT_EQ(Run(request).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(DefaultPromptChunkTest, GrowsWithThePromptAndShrinksWithStages) {
  EXPECT_EQ(DefaultPromptChunk(1, 10), kMaxPromptChunk);
  EXPECT_EQ(DefaultPromptChunk(2, 100), kMinPromptChunk);
  EXPECT_EQ(DefaultPromptChunk(2, 512), 128);
  EXPECT_EQ(DefaultPromptChunk(2, 100000), kMaxPromptChunk);
  EXPECT_EQ(DefaultPromptChunk(30, 1000), kMinPromptChunk);
}

}  // namespace
}  // namespace baton
