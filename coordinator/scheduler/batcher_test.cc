#include "coordinator/scheduler/batcher.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "coordinator/scheduler/fake_pipeline.h"
#include "gtest/gtest.h"
#include "proto/bounds.h"

namespace baton {
namespace {

constexpr int32_t kBlocks = 20;

// Full attention, and layers with a window that no block divides.
const std::vector<CacheGroup> kTwoGroups = {{}, {.window = 50, .layers = {}}};

std::vector<int32_t> Prompt(int32_t count, int32_t salt = 0) {
  std::vector<int32_t> tokens(count);
  for (int32_t i = 0; i < count; ++i) tokens[i] = (i * i * 5 + 3 + salt) % kFakeVocabulary;
  return tokens;
}

Request RequestFor(std::vector<int32_t> prompt, int32_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.speculation = Speculation::kOff;
  return request;
}

// What a request's sink has heard.
struct Heard : RequestSink {
  bool OnToken(int choice, const SampleResult& sample, absl::Span<const float> logits) override {
    EXPECT_FALSE(done);
    ids[choice].push_back(sample.token);
    logit_count += logits.size();
    return static_cast<int32_t>(ids[choice].size()) != stop_after;
  }
  void OnScores(absl::Span<const double> more) override {
    scores.insert(scores.end(), more.begin(), more.end());
  }
  void OnChoiceDone(int choice, FinishReason reason) override {
    EXPECT_TRUE(reasons.emplace(choice, reason).second);
  }
  void OnDone(const absl::Status& end, const Usage& used) override {
    EXPECT_FALSE(done);
    done = true;
    status = end;
    usage = used;
  }
  int32_t stop_after = -1;
  std::map<int, std::vector<int32_t>> ids;
  std::map<int, FinishReason> reasons;
  std::vector<double> scores;
  size_t logit_count = 0;
  bool done = false;
  absl::Status status;
  Usage usage;
};

class BatcherTest : public testing::Test {
 protected:
  void Build(int32_t block_count, int32_t context_length = kBlocks * kKvBlockTokens,
             int32_t prompt_chunk = 0, FakePipeline::Language language = FakeNextToken) {
    BuildGroups({{}}, {block_count}, context_length, std::move(language), prompt_chunk);
  }
  void BuildGroups(const std::vector<CacheGroup>& groups, const std::vector<int32_t>& block_counts,
                   int32_t context_length, FakePipeline::Language language = FakeNextToken,
                   int32_t prompt_chunk = 0) {
    SchedulerOptions options;
    options.cache_groups = groups;
    options.kv_block_counts = block_counts;
    options.context_length = context_length;
    options.vocabulary_size = kFakeVocabulary;
    options.prompt_chunk = prompt_chunk;
    pipeline_ = std::make_unique<FakePipeline>(3, std::move(language), groups);
    batcher_ = std::make_unique<Batcher>(options, 3);
  }
  void SetUp() override { Build(kBlocks); }

  std::shared_ptr<Heard> Add(Request request) {
    auto heard = std::make_shared<Heard>();
    batcher_->Add(++last_id_, std::move(request), heard, now_);
    return heard;
  }
  // One step submitted if there is one, or else one taken back. False when there is nothing to do.
  bool Turn() {
    now_ += 1;
    batcher_->Expire(now_);
    if (std::optional<Batcher::Step> step = batcher_->Compose(now_)) {
      const absl::Status status =
          pipeline_->Submit(std::move(step->batch), std::move(step->outputs));
      if (!status.ok()) batcher_->Withdraw(status, now_);
      return true;
    }
    if (batcher_->steps_in_flight() == 0) return false;
    batcher_->Finish(pipeline_->Next(), now_);
    return true;
  }
  void RunAll() {
    while (Turn()) {
    }
    EXPECT_TRUE(batcher_->idle());
    ExpectNothingHeld();
  }
  void ExpectNothingHeld() {
    const SchedulerStats& stats = batcher_->stats(now_);
    EXPECT_EQ(stats.kv_blocks_free + stats.kv_blocks_cached, stats.kv_blocks);
    EXPECT_EQ(stats.running_requests + stats.queued_requests + stats.steps_in_flight, 0);
  }
  int64_t RowsSubmitted() const {
    return std::accumulate(pipeline_->rows.begin(), pipeline_->rows.end(), int64_t{0});
  }
  // In the repetitive language, with cancels, deadlines, drafts and choices.
  void RunTenThousandRequests();

  std::unique_ptr<FakePipeline> pipeline_;
  std::unique_ptr<Batcher> batcher_;
  RequestId last_id_ = 0;
  double now_ = 0;
};

TEST_F(BatcherTest, SaysWhatTheModelSays) {
  const auto heard = Add(RequestFor(Prompt(100), 40));
  RunAll();
  ASSERT_TRUE(heard->status.ok()) << heard->status;
  EXPECT_EQ(heard->ids[0], FakeAnswer(Prompt(100), 40));
  EXPECT_EQ(heard->reasons.at(0), FinishReason::kLength);
  EXPECT_EQ(heard->usage.prompt_tokens, 100);
  EXPECT_EQ(heard->usage.cached_tokens, 0);
  EXPECT_EQ(heard->usage.generated_tokens, 40);
  EXPECT_EQ(heard->usage.decode_steps, 39);
  EXPECT_EQ(heard->usage.decode_stage_ms, (std::vector<double>(3, 78.0)));
}

TEST_F(BatcherTest, ChunksFollowEachOther) {
  Build(kBlocks, kBlocks * kKvBlockTokens, 7);
  const auto heard = Add(RequestFor(Prompt(100), 3));
  RunAll();
  std::vector<int64_t> rows(14, 7);
  rows.insert(rows.end(), {2, 1, 1});
  EXPECT_EQ(pipeline_->rows, rows);
  EXPECT_EQ(pipeline_->most_in_flight, 4u);  // one for each stage, and the next
  EXPECT_EQ(heard->ids[0], FakeAnswer(Prompt(100), 3));
}

TEST_F(BatcherTest, TheEndTokenIsNoPartOfTheAnswer) {
  Request request = RequestFor(Prompt(10), -1);
  const std::vector<int32_t> expected = FakeAnswer(request.prompt, 4);
  request.is_end = [&](int32_t id) { return id == expected[3]; };
  const auto heard = Add(std::move(request));
  RunAll();
  EXPECT_EQ(heard->ids[0], FakeAnswer(Prompt(10), 3));
  EXPECT_EQ(heard->reasons.at(0), FinishReason::kStop);
}

TEST_F(BatcherTest, TheSinkCanEndTheAnswer) {
  const auto heard = Add(RequestFor(Prompt(10), 50));
  heard->stop_after = 5;
  RunAll();
  EXPECT_EQ(heard->ids[0], FakeAnswer(Prompt(10), 5));
  EXPECT_EQ(heard->reasons.at(0), FinishReason::kStop);
}

TEST_F(BatcherTest, TheContextsEndIsALength) {
  Build(kBlocks, 16);
  const auto heard = Add(RequestFor(Prompt(10), -1));
  RunAll();
  // Positions 10 to 15 are evaluated, and what follows the last is still said.
  EXPECT_EQ(heard->ids[0], FakeAnswer(Prompt(10), 7));
  EXPECT_EQ(heard->reasons.at(0), FinishReason::kLength);
}

TEST_F(BatcherTest, NoTokensWantedIsAPromptEvaluated) {
  const auto heard = Add(RequestFor(Prompt(10), 0));
  RunAll();
  EXPECT_TRUE(heard->ids.empty());
  EXPECT_EQ(heard->reasons.at(0), FinishReason::kLength);
  EXPECT_TRUE(pipeline_->asked.empty());
  EXPECT_EQ(RowsSubmitted(), 10);
}

TEST_F(BatcherTest, TellsTheSamplerWhereItIsAndWhatWasSaid) {
  Request request = RequestFor(Prompt(10), 3);
  request.sampling.repeat_last_n = 4;
  request.sampling.presence_penalty = 0.5f;
  request.sampling.seed = 11;
  request.logit_bias = {{5, 1.0f}};
  request.top_logprobs = 2;
  request.return_logits = true;
  const auto heard = Add(request);
  RunAll();
  ASSERT_EQ(pipeline_->asked.size(), 3u);
  std::vector<int32_t> tokens = request.prompt;
  const std::vector<int32_t> answer = FakeAnswer(tokens, 3, 11);
  for (int i = 0; i < 3; ++i) {
    const SampleSpec& spec = pipeline_->asked[i].sample;
    EXPECT_EQ(spec.counter, tokens.size());
    EXPECT_EQ(spec.history, (std::vector<int32_t>(tokens.end() - 4, tokens.end())));
    EXPECT_EQ(spec.params.seed, 11u);
    EXPECT_EQ(spec.logit_bias, request.logit_bias);
    EXPECT_EQ(spec.top_logprobs, 2);
    tokens.push_back(answer[i]);
  }
  EXPECT_EQ(heard->logit_count, 3u * kFakeVocabulary);
}

TEST_F(BatcherTest, SendsNoHistoryThatNobodyReads) {
  Add(RequestFor(Prompt(10), 1));
  RunAll();
  EXPECT_TRUE(pipeline_->asked.at(0).sample.history.empty());
}

TEST_F(BatcherTest, RequestsShareSteps) {
  std::vector<std::shared_ptr<Heard>> all;
  for (int32_t i = 0; i < 6; ++i) all.push_back(Add(RequestFor(Prompt(20 + i, i), 30)));
  RunAll();
  for (int32_t i = 0; i < 6; ++i) EXPECT_EQ(all[i]->ids[0], FakeAnswer(Prompt(20 + i, i), 30));
  // One after the other they take 29 steps each after their prompts.
  EXPECT_LT(pipeline_->rows.size(), 3u * 29 + 20);
}

// ---- The prefix cache.

// Steps that cost what their rows do, on three stages: four groups. They began as they came.
TEST_F(BatcherTest, GroupsOfAnswersBecomeEqual) {
  Build(/*block_count=*/40);
  pipeline_->ms_per_row = 100;
  for (int i = 0; i < 22; ++i) Add(RequestFor(Prompt(3, i), 28));
  RunAll();
  std::vector<int64_t> rows(pipeline_->rows.end() - 12, pipeline_->rows.end() - 4);
  for (size_t i = 0; i + 4 <= rows.size(); ++i) {
    EXPECT_EQ(std::accumulate(&rows[i], &rows[i] + 4, int64_t{0}), 22);
  }
  std::sort(rows.begin(), rows.end());
  EXPECT_EQ(rows, (std::vector<int64_t>{5, 5, 5, 5, 6, 6, 6, 6}));
}

TEST_F(BatcherTest, TheSamePromptAgainCostsItsLastBlock) {
  Add(RequestFor(Prompt(100), 1));
  RunAll();
  pipeline_->rows.clear();
  const auto again = Add(RequestFor(Prompt(100), 1));
  RunAll();
  EXPECT_EQ(again->usage.cached_tokens, 96);
  EXPECT_EQ(pipeline_->rows, std::vector<int64_t>{4});
  EXPECT_EQ(again->ids[0], FakeAnswer(Prompt(100), 1));
}

TEST_F(BatcherTest, TheLastTokenIsAlwaysEvaluated) {
  Add(RequestFor(Prompt(64), 1));
  RunAll();
  const auto again = Add(RequestFor(Prompt(64), 1));
  RunAll();
  EXPECT_EQ(again->usage.cached_tokens, 32);
  EXPECT_EQ(again->ids[0], FakeAnswer(Prompt(64), 1));
}

TEST_F(BatcherTest, WhatIsAnsweredCanBeFoundToo) {
  const auto first = Add(RequestFor(Prompt(40), 60));
  RunAll();
  std::vector<int32_t> conversation = Prompt(40);
  conversation.insert(conversation.end(), first->ids[0].begin(), first->ids[0].end());
  conversation.insert(conversation.end(), {1, 2, 3});
  const auto next = Add(RequestFor(conversation, 5));
  RunAll();
  EXPECT_EQ(next->usage.cached_tokens, 96);  // of 99 that are in blocks
  EXPECT_EQ(next->ids[0], FakeAnswer(conversation, 5));
}

TEST_F(BatcherTest, ADifferentTokenEndsWhatIsShared) {
  Add(RequestFor(Prompt(100), 1));
  RunAll();
  std::vector<int32_t> other = Prompt(100);
  other[40] = 1;
  const auto heard = Add(RequestFor(other, 3));
  RunAll();
  EXPECT_EQ(heard->usage.cached_tokens, 32);
  EXPECT_EQ(heard->ids[0], FakeAnswer(other, 3));
}

TEST_F(BatcherTest, TheCacheIsNotUsedWhereNotWanted) {
  Add(RequestFor(Prompt(100), 1));
  RunAll();
  Request request = RequestFor(Prompt(100), 1);
  request.cache_prompt = false;
  const auto heard = Add(std::move(request));
  RunAll();
  EXPECT_EQ(heard->usage.cached_tokens, 0);
}

TEST_F(BatcherTest, ScoredRowsAreEvaluatedWhateverIsCached) {
  Add(RequestFor(Prompt(100), 1));
  RunAll();
  Request request = RequestFor(Prompt(100), 0);
  request.score_after = 50;
  const auto heard = Add(std::move(request));
  RunAll();
  EXPECT_EQ(heard->usage.cached_tokens, 32);
  EXPECT_EQ(heard->scores.size(), 49u);
}

// ---- Several choices.

TEST_F(BatcherTest, ChoicesShareThePromptAndDrawEachTheirOwn) {
  Request request = RequestFor(Prompt(100), 20);
  request.choice_count = 3;
  request.sampling.seed = 5;
  const auto heard = Add(std::move(request));
  RunAll();
  ASSERT_TRUE(heard->status.ok());
  for (int choice = 0; choice < 3; ++choice) {
    EXPECT_EQ(heard->ids[choice], FakeAnswer(Prompt(100), 20, 5 + choice));
    EXPECT_EQ(heard->reasons.at(choice), FinishReason::kLength);
  }
  EXPECT_EQ(heard->usage.generated_tokens, 60);
  // The whole prompt once, and twice its last 4 tokens.
  EXPECT_EQ(RowsSubmitted(), 100 + 2 * 4 + 3 * 19);
}

TEST_F(BatcherTest, ChoicesOfAPromptThatNobodyAnswers) {
  Request request = RequestFor(Prompt(40), 0);
  request.choice_count = 2;
  const auto heard = Add(std::move(request));
  RunAll();
  EXPECT_EQ(heard->reasons.size(), 2u);
}

// ---- Preemption.

TEST_F(BatcherTest, TheYoungestGivesWayAndSaysTheSame) {
  Build(8, 8 * kKvBlockTokens);
  std::vector<std::shared_ptr<Heard>> all;
  for (int32_t i = 0; i < 4; ++i) all.push_back(Add(RequestFor(Prompt(30, i), 120)));
  RunAll();
  for (int32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(all[i]->ids[0], FakeAnswer(Prompt(30, i), 120)) << i;
  }
  EXPECT_GT(batcher_->stats(now_).preemptions, 0u);
  // The eldest was never in the way.
  EXPECT_LT(all[0]->usage.total_ms, all[3]->usage.total_ms);
}

TEST_F(BatcherTest, ScoresComeOnceWhateverIsPreempted) {
  Build(7, 7 * kKvBlockTokens, 2);  // so few that none is held back
  const auto elder = Add(RequestFor(Prompt(30), 150));
  while (elder->ids[0].size() < 60) Turn();
  Request request = RequestFor(Prompt(120, 1), 0);
  request.score_after = 20;
  const auto heard = Add(std::move(request));
  RunAll();
  EXPECT_EQ(heard->scores.size(), 99u);
  EXPECT_GT(batcher_->stats(now_).preemptions, 0u);
  EXPECT_EQ(elder->ids[0], FakeAnswer(Prompt(30), 150));
}

TEST_F(BatcherTest, ARequestThatFillsAllBlocksEnds) {
  Build(4, 4 * kKvBlockTokens);
  const auto big = Add(RequestFor(Prompt(100), -1));
  const auto small = Add(RequestFor(Prompt(10, 1), 5));
  RunAll();
  EXPECT_EQ(big->ids[0], FakeAnswer(Prompt(100), 29));
  EXPECT_EQ(small->ids[0], FakeAnswer(Prompt(10, 1), 5));
}

// ---- Ends.

TEST_F(BatcherTest, CancellingFreesAtOnce) {
  const auto heard = Add(RequestFor(Prompt(300), 50));
  for (int i = 0; i < 3; ++i) Turn();
  EXPECT_GT(batcher_->steps_in_flight(), 0u);
  batcher_->Cancel(last_id_, now_);
  EXPECT_TRUE(heard->done);
  EXPECT_TRUE(heard->status.ok());
  EXPECT_EQ(heard->reasons.at(0), FinishReason::kCancelled);
  EXPECT_EQ(batcher_->stats(now_).kv_blocks_free, kBlocks);
  // While its steps are in flight another one takes its blocks.
  const auto next = Add(RequestFor(Prompt(500, 1), 10));
  RunAll();
  EXPECT_EQ(next->ids[0], FakeAnswer(Prompt(500, 1), 10));
}

TEST_F(BatcherTest, ADeadlineEndsWhatRunsAndWhatWaits) {
  Request slow = RequestFor(Prompt(10), -1);
  slow.timeout_ms = 50;
  const auto running = Add(slow);
  slow.prompt = Prompt(600, 1);
  slow.timeout_ms = 10;
  const auto waiting = Add(slow);
  EXPECT_EQ(batcher_->next_deadline_ms(), 10);
  RunAll();
  EXPECT_EQ(running->reasons.at(0), FinishReason::kDeadline);
  EXPECT_EQ(waiting->reasons.at(0), FinishReason::kDeadline);
  EXPECT_TRUE(running->status.ok());
  const std::vector<int32_t> said = running->ids[0];
  EXPECT_FALSE(said.empty());
  EXPECT_EQ(said, FakeAnswer(Prompt(10), static_cast<int32_t>(said.size())));
}

TEST_F(BatcherTest, AFailedStepEndsItsRequestsAndNoOthers) {
  pipeline_->fail_step = 3;
  const auto first = Add(RequestFor(Prompt(10), 40));
  while (batcher_->steps_in_flight() > 0 || !first->done) Turn();
  EXPECT_EQ(first->status.code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(first->reasons.empty());
  const auto second = Add(RequestFor(Prompt(10), 40));
  RunAll();
  EXPECT_EQ(second->ids[0], FakeAnswer(Prompt(10), 40));
}

TEST_F(BatcherTest, AFailedSpanEndsItsRequestAlone) {
  pipeline_->poison = 96;
  std::vector<int32_t> bad = Prompt(50, 1);
  bad[40] = 96;
  std::vector<int32_t> good(30, 2);
  const auto bystander = Add(RequestFor(good, 1));
  const auto failed = Add(RequestFor(bad, 20));
  RunAll();
  EXPECT_EQ(failed->status, absl::InternalError("not finite"));
  EXPECT_EQ(bystander->ids[0], FakeAnswer(good, 1));
}

TEST_F(BatcherTest, AStepThatIsRefusedLeavesNoGap) {
  pipeline_->refuse_submit_at = 2;
  const auto first = Add(RequestFor(Prompt(10), 20));
  RunAll();
  EXPECT_EQ(first->status, absl::InvalidArgumentError("refused"));
  const auto second = Add(RequestFor(Prompt(10), 20));
  RunAll();
  EXPECT_EQ(second->ids[0], FakeAnswer(Prompt(10), 20));
}

TEST_F(BatcherTest, FailAllEndsEverything) {
  const auto running = Add(RequestFor(Prompt(10), 20));
  for (int i = 0; i < 3; ++i) Turn();
  const auto waiting = Add(RequestFor(Prompt(10), 20));
  batcher_->FailAll(absl::UnavailableError("lost"), now_);
  EXPECT_EQ(running->status, absl::UnavailableError("lost"));
  EXPECT_EQ(waiting->status, absl::UnavailableError("lost"));
  EXPECT_TRUE(batcher_->idle());
  ExpectNothingHeld();
}

// ---- Speculation.

// A language that repeats what stood 9 tokens before, mostly.
int32_t RepetitiveLanguage(absl::Span<const int32_t> tokens, uint64_t seed) {
  if (tokens.size() < 9 || tokens.size() % 23 == 0) return FakeNextToken(tokens, seed);
  return tokens[tokens.size() - 9];
}

TEST_F(BatcherTest, DraftsChangeNothingButTheSteps) {
  std::map<Speculation, std::vector<int32_t>> ids;
  std::map<Speculation, size_t> steps;
  for (const Speculation mode : {Speculation::kOff, Speculation::kOn, Speculation::kAuto}) {
    Build(kBlocks, kBlocks * kKvBlockTokens, 0, RepetitiveLanguage);
    Request request = RequestFor(Prompt(40), 200);
    request.speculation = mode;
    request.sampling.seed = 3;
    const auto heard = Add(std::move(request));
    RunAll();
    ids[mode] = heard->ids[0];
    steps[mode] = pipeline_->rows.size();
    EXPECT_EQ(heard->usage.drafted_tokens > 0, mode != Speculation::kOff);
  }
  EXPECT_EQ(ids[Speculation::kOff].size(), 200u);
  EXPECT_EQ(ids[Speculation::kOn], ids[Speculation::kOff]);
  EXPECT_EQ(ids[Speculation::kAuto], ids[Speculation::kOff]);
  EXPECT_LT(steps[Speculation::kOn] * 3, steps[Speculation::kOff]);
  EXPECT_LT(steps[Speculation::kAuto] * 2, steps[Speculation::kOff]);
}

TEST_F(BatcherTest, DraftsStopWhereTheyAreWrong) {
  // Repeats in the prompt promise what the answer never keeps.
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < 300; ++i) prompt.push_back(i % 5);
  Build(40, 40 * kKvBlockTokens, 0, [](absl::Span<const int32_t> tokens, uint64_t) {
    return tokens.size() % 4 == 0 ? static_cast<int32_t>(tokens.size() % 89) : tokens.size() % 4;
  });
  pipeline_->ms_per_row = 1;
  Request request = RequestFor(prompt, 500);
  request.speculation = Speculation::kAuto;
  const auto heard = Add(std::move(request));
  RunAll();
  EXPECT_EQ(heard->ids[0].size(), 500u);
  EXPECT_LT(heard->usage.drafted_tokens - heard->usage.accepted_tokens, 40);
}

// ---- Windows. The pipeline fails whatever sees another sequence's blocks, or none.

TEST_F(BatcherTest, AnAnswerGoesOnWithTheBlocksOfItsWindow) {
  BuildGroups(kTwoGroups, {80, 5}, 80 * kKvBlockTokens, FakeNextToken, /*prompt_chunk=*/200);
  const auto heard = Add(RequestFor(Prompt(700), 1500));
  RunAll();
  ASSERT_TRUE(heard->status.ok()) << heard->status;
  EXPECT_EQ(heard->ids[0], FakeAnswer(Prompt(700), 1500));
  // Five blocks have room for a window of 50 wherever it begins, and so many rows.
  EXPECT_EQ(*std::max_element(pipeline_->rows.begin(), pipeline_->rows.end()), 4 * 32 - 50);
}

TEST_F(BatcherTest, APromptIsFoundAgainWithItsWindow) {
  BuildGroups(kTwoGroups, {kBlocks, 12}, kBlocks * kKvBlockTokens);
  const auto first = Add(RequestFor(Prompt(40), 60));
  RunAll();
  std::vector<int32_t> conversation = Prompt(40);
  conversation.insert(conversation.end(), first->ids[0].begin(), first->ids[0].end());
  conversation.insert(conversation.end(), {1, 2, 3});
  const auto next = Add(RequestFor(conversation, 5));
  RunAll();
  EXPECT_EQ(next->usage.cached_tokens, 96);
  EXPECT_EQ(next->ids[0], FakeAnswer(conversation, 5));
}

TEST_F(BatcherTest, ChoicesShareAWindow) {
  BuildGroups(kTwoGroups, {kBlocks, 8}, kBlocks * kKvBlockTokens);
  Request request = RequestFor(Prompt(100), 150);
  request.choice_count = 3;
  const auto heard = Add(std::move(request));
  RunAll();
  ASSERT_TRUE(heard->status.ok()) << heard->status;
  for (int choice = 0; choice < 3; ++choice) {
    EXPECT_EQ(heard->ids[choice], FakeAnswer(Prompt(100), 150, choice));
  }
}

TEST_F(BatcherTest, TheYoungestGivesWayWhereWindowsRunOut) {
  BuildGroups(kTwoGroups, {40, 6}, 40 * kKvBlockTokens);
  std::vector<std::shared_ptr<Heard>> all;
  for (int32_t i = 0; i < 4; ++i) all.push_back(Add(RequestFor(Prompt(30, i), 120)));
  for (int32_t i = 4; i < 8; ++i) all.push_back(Add(RequestFor(Prompt(300, i), 20)));
  RunAll();
  EXPECT_GT(batcher_->stats(now_).preemptions, 0u);
  for (int32_t i = 0; i < 8; ++i) {
    ASSERT_TRUE(all[i]->status.ok()) << all[i]->status;
    const int32_t size = i < 4 ? 30 : 300;
    EXPECT_EQ(all[i]->ids[0], FakeAnswer(Prompt(size, i), i < 4 ? 120 : 20)) << i;
  }
}

TEST_F(BatcherTest, AModelOfWindowsAloneSeesNoMore) {
  constexpr int32_t kWindow = 40;
  BuildGroups({{.window = kWindow, .layers = {}}}, {8}, 4000);
  std::vector<int32_t> tokens = Prompt(500);
  const auto heard = Add(RequestFor(tokens, 1000));
  RunAll();
  ASSERT_TRUE(heard->status.ok()) << heard->status;
  ASSERT_EQ(heard->ids[0].size(), 1000u);
  for (const int32_t id : heard->ids[0]) {
    ASSERT_EQ(id, FakeNextToken(absl::MakeConstSpan(tokens).last(kWindow)));
    tokens.push_back(id);
  }
}

TEST_F(BatcherTest, DraftsMoveNoWindowTooFar) {
  std::map<Speculation, std::vector<int32_t>> ids;
  for (const Speculation mode : {Speculation::kOff, Speculation::kOn}) {
    BuildGroups(kTwoGroups, {kBlocks, 5}, kBlocks * kKvBlockTokens, RepetitiveLanguage);
    Request request = RequestFor(Prompt(40), 400);
    request.speculation = mode;
    const auto heard = Add(std::move(request));
    RunAll();
    ASSERT_TRUE(heard->status.ok()) << heard->status;
    ids[mode] = heard->ids[0];
    EXPECT_EQ(heard->usage.accepted_tokens > 0, mode == Speculation::kOn);
    EXPECT_EQ(heard->usage.accepted_tokens < heard->usage.drafted_tokens, mode == Speculation::kOn);
  }
  EXPECT_EQ(ids[Speculation::kOff].size(), 400u);
  EXPECT_EQ(ids[Speculation::kOn], ids[Speculation::kOff]);
}

// ---- Everything at once.

void BatcherTest::RunTenThousandRequests() {
  std::mt19937 random(7);
  const auto below = [&](uint32_t limit) { return static_cast<int32_t>(random() % limit); };
  struct Sent {
    RequestId id;
    Request request;
    std::shared_ptr<Heard> heard;
  };
  std::vector<Sent> open;
  int completed = 0;
  const auto check = [&](const Sent& sent) {
    ASSERT_TRUE(sent.heard->status.ok()) << sent.heard->status;
    for (int choice = 0; choice < sent.request.choice_count; ++choice) {
      std::vector<int32_t> tokens = sent.request.prompt;
      const std::vector<int32_t>& ids = sent.heard->ids[choice];
      if (sent.heard->reasons.at(choice) == FinishReason::kLength) {
        ASSERT_EQ(static_cast<int32_t>(ids.size()), sent.request.max_tokens);
        ++completed;
      }
      for (const int32_t id : ids) {
        ASSERT_EQ(id, RepetitiveLanguage(tokens, sent.request.sampling.seed + choice));
        tokens.push_back(id);
      }
    }
  };
  for (int sent = 0; sent < 10000 || !open.empty();) {
    if (sent < 10000 && below(3) == 0) {
      Request request = RequestFor(Prompt(1 + below(120), below(4)), 1 + below(60));
      request.speculation = static_cast<Speculation>(below(3));
      request.choice_count = below(8) == 0 ? 1 + below(4) : 1;
      request.sampling.seed = below(100);
      request.cache_prompt = below(10) > 0;
      if (below(20) == 0) request.timeout_ms = 1 + below(100);
      auto heard = Add(request);
      open.push_back({last_id_, std::move(request), std::move(heard)});
      ++sent;
    }
    if (!open.empty() && below(8) == 0) batcher_->Cancel(open[below(open.size())].id, now_);
    for (int turns = below(6); turns > 0; --turns) Turn();
    if (sent == 10000 && !Turn()) break;
    for (size_t i = 0; i < open.size();) {
      if (!open[i].heard->done) {
        ++i;
        continue;
      }
      check(open[i]);
      if (HasFatalFailure()) return;
      open[i] = std::move(open.back());
      open.pop_back();
    }
  }
  for (const Sent& sent : open) check(sent);
  EXPECT_TRUE(batcher_->idle());
  ExpectNothingHeld();
  EXPECT_GT(completed, 5000);
  const SchedulerStats& stats = batcher_->stats(now_);
  EXPECT_GT(stats.preemptions, 100u);
  EXPECT_GT(stats.cached_tokens, 1000u);
  EXPECT_EQ(stats.requests_finished, 10000u);
}

TEST_F(BatcherTest, TenThousandRequestsLeaveNothingBehind) {
  Build(16, 16 * kKvBlockTokens, 0, RepetitiveLanguage);
  RunTenThousandRequests();
}

TEST_F(BatcherTest, TenThousandRequestsWithAWindowLeaveNothingBehind) {
  BuildGroups(kTwoGroups, {16, 8}, 16 * kKvBlockTokens, RepetitiveLanguage);
  RunTenThousandRequests();
}

// A step of prompts as long as a person asks for must still fit a message between stages.
TEST_F(BatcherTest, RowsOfAStepFitAMessage) {
  SchedulerOptions options;
  options.kv_block_counts = {40};
  options.context_length = 40 * kKvBlockTokens;
  options.vocabulary_size = kFakeVocabulary;
  options.prompt_chunk = kMaxBatchRows;
  options.width = kMaxWidth;
  pipeline_ = std::make_unique<FakePipeline>(3);
  batcher_ = std::make_unique<Batcher>(options, 3);
  const auto one = Add(RequestFor(Prompt(1000), 3));
  const auto two = Add(RequestFor(Prompt(1100), 3));
  RunAll();
  EXPECT_TRUE(one->status.ok() && two->status.ok());
  EXPECT_EQ(*std::max_element(pipeline_->rows.begin(), pipeline_->rows.end()),
            MostStepRows(kMaxWidth));
}

}  // namespace
}  // namespace baton
