#include "proto/convert.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/support/slice.h"
#include "gtest/gtest.h"
#include "proto/bounds.h"
#include "proto/frame.h"
#include "proto/wire.pb.h"

namespace baton {
namespace {

using testing::HasSubstr;

constexpr int kGarbledFrames = 3000;

StageConfig SomeStage(int index) {
  StageConfig stage;
  stage.stage_index = index;
  stage.stage_count = 3;
  stage.role.embedding = index == 0;
  stage.role.head = index == 2;
  stage.layer_count = 6;
  stage.width = 4;
  stage.vocabulary_size = 50;
  stage.kv_block_counts = {10};
  stage.context_length = 64;
  return stage;
}

ChainStep SomeStep(int stage) {
  ChainStep step;
  step.batch.epoch = 9;
  step.batch.step = 1234567890123;
  step.batch.spans.push_back({.tokens = {1, 49}, .first_position = 62, .block_table = {9, 0}});
  step.batch.spans.push_back({.tokens = {0}, .first_position = 0, .block_table = {}});
  if (stage > 0) {
    for (int i = 0; i < 12; ++i) step.batch.hidden.push_back(static_cast<float>(i) * 0.1f);
  }
  for (int i = 0; i < stage; ++i) step.stages.push_back({i + 0.5, i + 0.25, i * 2.0});
  return step;
}

std::vector<OutputSpec> SomeOutputs() {
  std::vector<OutputSpec> outputs(2);
  outputs[0].kind = OutputSpec::Kind::kSample;
  outputs[0].sampled_rows = 2;
  outputs[0].return_logits = true;
  SampleSpec& sample = outputs[0].sample;
  sample.params = {.temperature = 0.1f,
                   .top_k = 7,
                   .top_p = 0.2f,
                   .min_p = 0.3f,
                   .repeat_last_n = -1,
                   .repeat_penalty = 1.4f,
                   .frequency_penalty = 0.5f,
                   .presence_penalty = 0.6f,
                   .seed = ~uint64_t{0}};
  sample.counter = 77;
  sample.history = {4, 5, 6};
  sample.logit_bias = {{3, -std::numeric_limits<float>::infinity()}, {8, 1.5f}};
  sample.top_logprobs = 2;
  outputs[1].kind = OutputSpec::Kind::kScore;
  outputs[1].first_scored_row = 0;
  outputs[1].targets = {11};
  return outputs;
}

StepOutputs SomeStepOutputs() { return {.epoch = 9, .step = 5, .outputs = SomeOutputs()}; }

StepReply SomeReply() {
  StepReply reply;
  reply.result.epoch = 9;
  reply.result.step = 5;
  reply.result.stages.resize(3);
  reply.result.outputs.resize(2);
  reply.result.outputs[0].samples = {
      {.token = 4, .logprob = -0.25f, .top_logprobs = {{4, -0.25f}, {5, -2.0f}}},
      {.token = 6, .logprob = 0, .top_logprobs = {}}};
  reply.result.outputs[0].logits.assign(100, 0.125f);
  reply.result.outputs[1].scores = {-3.25};
  return reply;
}

std::string Bytes(const grpc::ByteBuffer& frame) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(grpc::ByteBuffer(frame).Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) bytes.append(slice.begin(), slice.end());
  return bytes;
}

grpc::ByteBuffer Frame(const std::string& bytes) {
  grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

TEST(ConvertTest, AStepArrivesAsItWasSent) {
  for (const int stage : {0, 2}) {
    const ChainStep sent = SomeStep(stage);
    const auto got = DecodeStep(EncodeStep(sent), SomeStage(stage));
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->batch.epoch, 9u);
    EXPECT_EQ(got->batch.step, 1234567890123u);
    EXPECT_EQ(got->batch.hidden, sent.batch.hidden);
    ASSERT_EQ(got->batch.spans.size(), 2u);
    EXPECT_EQ(got->batch.spans[0].tokens, sent.batch.spans[0].tokens);
    EXPECT_EQ(got->batch.spans[0].first_position, 62);
    EXPECT_EQ(got->batch.spans[0].block_table, sent.batch.spans[0].block_table);
    ASSERT_EQ(got->stages.size(), static_cast<size_t>(stage));
    if (stage == 2) {
      EXPECT_EQ(got->stages[1].compute_ms, 1.5);
      EXPECT_EQ(got->stages[1].input_wait_ms, 1.25);
      EXPECT_EQ(got->stages[1].send_wait_ms, 2.0);
    }
  }
}

TEST(ConvertTest, AWaitOfWeeksIsToldAsTheLongest) {
  ChainStep sent = SomeStep(2);
  sent.stages[1].input_wait_ms = 2 * kMaxIntervalMs;
  const auto got = DecodeStep(EncodeStep(sent), SomeStage(2));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->stages[1].input_wait_ms, kMaxIntervalMs);
}

TEST(ConvertTest, ASpanThatFailedIsToldOf) {
  ChainStep step = SomeStep(1);
  step.batch.failures = {{1, absl::InternalError("not finite")}};
  const auto got = DecodeStep(EncodeStep(step), SomeStage(1));
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_EQ(got->batch.failures.size(), 1u);
  EXPECT_EQ(got->batch.failures[0].span, 1);
  EXPECT_EQ(got->batch.failures[0].status, step.batch.failures[0].status);
  step.batch.failures[0].span = 2;
  EXPECT_THAT(std::string(DecodeStep(EncodeStep(step), SomeStage(1)).status().message()),
              HasSubstr("failed span is 2, expected 0 to 1"));
}

TEST(ConvertTest, AFailedSpanHasNothingButAReason) {
  StepReply reply = SomeReply();
  reply.result.outputs[0].status = absl::InternalError("not finite");
  const auto got = DecodeReply(EncodeReply(reply), SomeStage(2), SomeStepOutputs());
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->result.outputs[0].status, reply.result.outputs[0].status);
  EXPECT_TRUE(got->result.outputs[0].samples.empty());
  EXPECT_TRUE(got->result.outputs[0].logits.empty());
  EXPECT_EQ(got->result.outputs[1].scores, reply.result.outputs[1].scores);
}

TEST(ConvertTest, HiddenBitsAreNotTouched) {
  ChainStep step = SomeStep(1);
  step.batch.hidden[3] = std::nanf("7");
  step.batch.hidden[4] = -0.0f;
  const auto got = DecodeStep(EncodeStep(step), SomeStage(1));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(std::memcmp(got->batch.hidden.data(), step.batch.hidden.data(), 12 * sizeof(float)), 0);
}

TEST(ConvertTest, AFailedStepCarriesItsReasonAlone) {
  ChainStep step = SomeStep(2);
  step.error = absl::InternalError("row 3 is not finite");
  step.failed_stage = 1;
  const auto got = DecodeStep(EncodeStep(step), SomeStage(2));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->error, step.error);
  EXPECT_EQ(got->failed_stage, 1);
  EXPECT_TRUE(got->batch.spans.empty());
  EXPECT_TRUE(got->batch.hidden.empty());
  step.failed_stage = 2;  // of a stage that has not run
  EXPECT_FALSE(DecodeStep(EncodeStep(step), SomeStage(2)).ok());
}

TEST(ConvertTest, EveryNumberOfABatchHasABound) {
  const std::vector<std::pair<std::function<void(ChainStep&)>, std::string>> cases = {
      {[](ChainStep& s) { s.batch.spans.clear(); }, "spans of a step is 0"},
      {[](ChainStep& s) { s.batch.spans[0].tokens.clear(); }, "rows of a span is 0"},
      {[](ChainStep& s) { s.batch.spans[0].tokens[1] = 50; }, "token id is 50, expected 0 to 49"},
      {[](ChainStep& s) { s.batch.spans[0].tokens[1] = -1; }, "token id is -1"},
      {[](ChainStep& s) { s.batch.spans[0].first_position = -1; }, "first position is -1"},
      {[](ChainStep& s) { s.batch.spans[0].first_position = 63; }, "last position is 64"},
      {[](ChainStep& s) { s.batch.spans[0].first_position = INT32_MAX; }, "first position is"},
      {[](ChainStep& s) { s.batch.spans[0].block_table[0] = 10; }, "KV block id is 10"},
      {[](ChainStep& s) { s.batch.spans[0].block_table[0] = -7; }, "KV block id is -7"},
      {[](ChainStep& s) { s.batch.hidden.pop_back(); }, "floats of hidden rows is 11, expected 12"},
      {[](ChainStep& s) { s.batch.hidden.resize(16); }, "floats of hidden rows is 16"},
      {[](ChainStep& s) { s.stages.pop_back(); }, "stage timings is 0, expected 3"},
      {[](ChainStep& s) { s.stages[0].input_wait_ms = std::nan(""); }, "time is nan"},
      {[](ChainStep& s) { s.stages[0].compute_ms = -1; }, "time is -1"},
  };
  for (const auto& [spoil, expected] : cases) {
    ChainStep step = SomeStep(1);
    spoil(step);
    const auto got = DecodeStep(EncodeStep(step), SomeStage(1));
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << expected;
    EXPECT_THAT(std::string(got.status().message()), HasSubstr(expected));
  }
}

TEST(ConvertTest, RowsAndTheirBytesHaveABound) {
  StageConfig stage = SomeStage(0);
  stage.context_length = kMaxPositions;
  Batch batch;
  batch.spans.push_back(
      {.tokens = std::vector<int32_t>(kMaxBatchRows), .first_position = 0, .block_table = {}});
  EXPECT_TRUE(CheckBatch(batch, stage).ok());
  stage.width = kMaxWidth;
  EXPECT_THAT(std::string(CheckBatch(batch, stage).message()),
              HasSubstr("bytes of hidden rows of a step is"));
  stage.width = 4;
  batch.spans.push_back(batch.spans[0]);
  EXPECT_THAT(std::string(CheckBatch(batch, stage).message()), HasSubstr("rows of a step is"));
}

TEST(ConvertTest, OutputsArriveAsTheyWereSent) {
  const StepOutputs sent = SomeStepOutputs();
  const auto got = DecodeOutputs(EncodeOutputs(sent), SomeStage(2));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->epoch, 9u);
  EXPECT_EQ(got->step, 5u);
  ASSERT_EQ(got->outputs.size(), 2u);
  const SampleSpec& a = got->outputs[0].sample;
  const SampleSpec& b = sent.outputs[0].sample;
  EXPECT_EQ(a.params.temperature, b.params.temperature);
  EXPECT_EQ(a.params.top_k, b.params.top_k);
  EXPECT_EQ(a.params.top_p, b.params.top_p);
  EXPECT_EQ(a.params.min_p, b.params.min_p);
  EXPECT_EQ(a.params.repeat_last_n, b.params.repeat_last_n);
  EXPECT_EQ(a.params.repeat_penalty, b.params.repeat_penalty);
  EXPECT_EQ(a.params.frequency_penalty, b.params.frequency_penalty);
  EXPECT_EQ(a.params.presence_penalty, b.params.presence_penalty);
  EXPECT_EQ(a.params.seed, b.params.seed);
  EXPECT_EQ(a.counter, b.counter);
  EXPECT_EQ(a.history, b.history);
  EXPECT_EQ(a.logit_bias, b.logit_bias);
  EXPECT_EQ(a.top_logprobs, b.top_logprobs);
  EXPECT_EQ(got->outputs[0].sampled_rows, 2);
  EXPECT_TRUE(got->outputs[0].return_logits);
  EXPECT_EQ(got->outputs[1].kind, OutputSpec::Kind::kScore);
  EXPECT_EQ(got->outputs[1].targets, sent.outputs[1].targets);
}

TEST(ConvertTest, EveryNumberOfAnOutputHasABound) {
  const std::vector<std::pair<std::function<void(std::vector<OutputSpec>&)>, std::string>> cases = {
      {[](auto& o) { o.clear(); }, "outputs of a step is 0"},
      {[](auto& o) { o[0].sample.params.top_p = std::nanf(""); }, "sampling parameter is nan"},
      {[](auto& o) { o[0].sample.params.temperature = INFINITY; }, "sampling parameter is inf"},
      {[](auto& o) { o[0].sample.history[2] = 50; }, "token id of history is 50"},
      {[](auto& o) { o[0].sample.logit_bias[1].first = -1; }, "logit bias is -1"},
      {[](auto& o) { o[0].sample.logit_bias[1].second = std::nanf(""); }, "logit bias is nan"},
      {[](auto& o) { o[0].sample.top_logprobs = 1 << 20; }, "top log-probabilities is 1048576"},
      {[](auto& o) { o[0].sampled_rows = 0; }, "sampled rows is 0"},
      {[](auto& o) { o[0].sampled_rows = 1 << 20; }, "sampled rows is 1048576"},
      {[](auto& o) { o[1].targets[0] = 50; }, "target token id is 50"},
      {[](auto& o) { o[1].first_scored_row = -1; }, "first scored row is -1"},
  };
  for (const auto& [spoil, expected] : cases) {
    StepOutputs outputs = SomeStepOutputs();
    spoil(outputs.outputs);
    const auto got = DecodeOutputs(EncodeOutputs(outputs), SomeStage(2));
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << expected;
    EXPECT_THAT(std::string(got.status().message()), HasSubstr(expected));
  }
}

TEST(ConvertTest, AResultArrivesAsItWasSent) {
  const auto got = DecodeReply(EncodeReply(SomeReply()), SomeStage(2), SomeStepOutputs());
  ASSERT_TRUE(got.ok()) << got.status();
  const StepReply sent = SomeReply();
  ASSERT_EQ(got->result.outputs.size(), 2u);
  ASSERT_EQ(got->result.outputs[0].samples.size(), 2u);
  const SampleResult& sample = got->result.outputs[0].samples[0];
  EXPECT_EQ(sample.token, 4);
  EXPECT_EQ(sample.logprob, -0.25f);
  EXPECT_EQ(sample.top_logprobs, sent.result.outputs[0].samples[0].top_logprobs);
  EXPECT_EQ(got->result.outputs[0].samples[1].token, 6);
  EXPECT_EQ(got->result.outputs[0].logits, sent.result.outputs[0].logits);
  EXPECT_EQ(got->result.outputs[1].scores, sent.result.outputs[1].scores);
}

TEST(ConvertTest, AResultMustFitWhatWasAsked) {
  const std::vector<std::pair<std::function<void(StepReply&)>, std::string>> cases = {
      {[](StepReply& r) { r.result.step = 6; }, "step 6, expected epoch 9 step 5"},
      {[](StepReply& r) { r.result.epoch = 8; }, "epoch 8"},
      {[](StepReply& r) { r.result.outputs.pop_back(); }, "outputs of a result is 1, expected 2"},
      {[](StepReply& r) { r.result.outputs[0].samples[1].token = 50; }, "sampled token is 50"},
      {[](StepReply& r) { r.result.outputs[0].logits.pop_back(); }, "logits of a span is 99"},
      {[](StepReply& r) { r.result.outputs[1].logits = {1}; }, "logits of a span is 1, expected 0"},
      {[](StepReply& r) { r.result.outputs[0].samples.pop_back(); }, "samples of a span is 1"},
      {[](StepReply& r) { r.result.outputs[1].scores.clear(); }, "scores of a span is 0"},
      {[](StepReply& r) { r.result.outputs[0].samples[0].top_logprobs[0].first = -1; },
       "top token"},
      {[](StepReply& r) { r.result.stages.pop_back(); }, "stage timings is 6, expected 9"},
  };
  for (const auto& [spoil, expected] : cases) {
    StepReply reply = SomeReply();
    spoil(reply);
    const auto got = DecodeReply(EncodeReply(reply), SomeStage(2), SomeStepOutputs());
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << expected;
    EXPECT_THAT(std::string(got.status().message()), HasSubstr(expected));
  }
}

// Whatever bytes come, the answer is a Status or a value within all bounds.
class Garbled : public testing::Test {
 protected:
  std::string Garble(std::string bytes) {
    const int changes = 1 + random_() % 4;
    for (int i = 0; i < changes; ++i) bytes[random_() % bytes.size()] = random_();
    if (random_() % 4 == 0) bytes.resize(random_() % bytes.size());
    if (random_() % 8 == 0) bytes.append(random_() % 9, static_cast<char>(random_()));
    return bytes;
  }
  std::mt19937 random_{20};
};

TEST_F(Garbled, Steps) {
  const std::string bytes = Bytes(EncodeStep(SomeStep(1)));
  const StageConfig stage = SomeStage(1);
  int refused = 0;
  for (int i = 0; i < kGarbledFrames; ++i) {
    const auto got = DecodeStep(Frame(Garble(bytes)), stage);
    if (!got.ok()) {
      ++refused;
    } else if (got->error.ok()) {
      EXPECT_TRUE(CheckBatch(got->batch, stage).ok());
    }
  }
  EXPECT_GT(refused, kGarbledFrames / 4);
}

TEST(CreditsTest, AtMostAWindowComesAtOnce) {
  EXPECT_EQ(*DecodeCredits(EncodeCredits(kMaxWindow)), uint32_t{kMaxWindow});
  EXPECT_EQ(DecodeCredits(EncodeCredits(kMaxWindow + 1)).status().message(),
            "credits is 257, expected 0 to 256");
}

StageConfig SharingStage() {
  StageConfig stage = SomeStage(1);
  stage.role.shared_logits = 3;
  return stage;
}

TEST(HeadTest, RequestsAndRepliesArriveAsTheyWereSent) {
  const std::vector<float> rows = {1, 2, 3, 4, 5, 6, 7, 8};
  const auto got = DecodeHeadRequest(EncodeHeadRequest({2, rows, 3}), SharingStage());
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->count, 2);
  EXPECT_EQ(got->rows, rows);
  EXPECT_EQ(got->candidates, 3);
  const HeadShare all = {{1, 2, 3, 4, 5, 6}, {}}, some = {{1, 2, 3, 4}, {2, 0, 1, 2}};
  for (const HeadShare& share : {all, some}) {
    const int32_t candidates = share.ids.empty() ? 0 : 2;
    const auto back = DecodeHeadReply(EncodeHeadReply({0.5, share}), SharingStage(), 2, candidates);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->compute_ms, 0.5);
    EXPECT_EQ(back->share.logits, share.logits);
    EXPECT_EQ(back->share.ids, share.ids);
  }
}

TEST(HeadTest, EveryNumberOfARequestHasABound) {
  const auto error = [](int64_t count, int64_t floats, int32_t candidates) {
    const auto frame = EncodeHeadRequest({count, std::vector<float>(floats), candidates});
    return std::string(DecodeHeadRequest(frame, SharingStage()).status().message());
  };
  EXPECT_EQ(error(0, 8, 0), "rows of the head is 0, expected 1 to 32");
  EXPECT_EQ(error(33, 33 * 4, 0), "rows of the head is 33, expected 1 to 32");
  EXPECT_EQ(error(2, 7, 0), "floats of the head's rows is 7, expected 8 to 8");
  EXPECT_EQ(error(2, 8, 4), "candidates of a row is 4, expected 0 to 3");
  StageConfig large = SharingStage();
  large.role.shared_logits = 300;
  const auto frame = EncodeHeadRequest({2, std::vector<float>(8), 257});
  EXPECT_EQ(DecodeHeadRequest(frame, large).status().message(),
            "candidates of a row is 257, expected 0 to 256");
}

TEST(HeadTest, EveryNumberOfAReplyHasABound) {
  const auto error = [](HeadReply reply, int32_t candidates = 0) {
    const grpc::ByteBuffer frame = EncodeHeadReply(std::move(reply));
    return std::string(DecodeHeadReply(frame, SharingStage(), 2, candidates).status().message());
  };
  const std::vector<float> two(2), six(6);
  EXPECT_EQ(error({0, {std::vector<float>(7), {}}}), "shared logits is 7, expected 6 to 6");
  EXPECT_EQ(error({0, {six, {1}}}), "ids of candidates is 1, expected 0 to 0");
  EXPECT_EQ(error({0, {six, {0, 1}}}, 1), "shared logits is 6, expected 2 to 2");
  EXPECT_EQ(error({0, {two, {1}}}, 1), "ids of candidates is 1, expected 2 to 2");
  EXPECT_EQ(error({0, {two, {1, 3}}}, 1), "a candidate's id is 3, expected 0 to 2");
  EXPECT_THAT(error({0, {two, {1, -1}}}, 1), HasSubstr("a candidate's id is 4294967295"));
  EXPECT_THAT(error({-1, {six, {}}}), HasSubstr("a stage's time is -1 ms"));
  EXPECT_THAT(error({std::nan(""), {six, {}}}), HasSubstr("a stage's time is nan ms"));
}

TEST_F(Garbled, HeadRequestsAndReplies) {
  const std::string rows = Bytes(EncodeHeadRequest({2, std::vector<float>(8), 1}));
  const std::string reply = Bytes(EncodeHeadReply({0.5, {std::vector<float>(4), {0, 1, 2, 0}}}));
  for (int i = 0; i < kGarbledFrames; ++i) {
    const auto got = DecodeHeadRequest(Frame(Garble(rows)), SharingStage());
    if (got.ok()) {
      EXPECT_EQ(static_cast<int64_t>(got->rows.size()), got->count * 4);
    }
    const auto back = DecodeHeadReply(Frame(Garble(reply)), SharingStage(), 2, 2);
    if (back.ok()) {
      EXPECT_EQ(back->share.logits.size(), 4u);
      EXPECT_THAT(back->share.ids,
                  ::testing::Each(::testing::AllOf(::testing::Ge(0), ::testing::Lt(3))));
    }
  }
}

TEST_F(Garbled, Outputs) {
  const std::string bytes = Bytes(EncodeOutputs(SomeStepOutputs()));
  const StageConfig stage = SomeStage(2);
  for (int i = 0; i < kGarbledFrames; ++i) {
    const auto got = DecodeOutputs(Frame(Garble(bytes)), stage);
    if (got.ok()) {
      EXPECT_TRUE(CheckOutputs(got->outputs, stage).ok());
    }
  }
}

TEST_F(Garbled, Replies) {
  const std::string bytes = Bytes(EncodeReply(SomeReply()));
  for (int i = 0; i < kGarbledFrames; ++i) {
    const auto got = DecodeReply(Frame(Garble(bytes)), SomeStage(2), SomeStepOutputs());
    if (!got.ok() || !got->error.ok()) continue;
    EXPECT_EQ(got->result.outputs.size(), 2u);
    EXPECT_EQ(got->result.outputs[0].logits.size(), got->result.outputs[0].status.ok() ? 100u : 0u);
  }
}

}  // namespace
}  // namespace baton
