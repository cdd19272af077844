#include "coordinator/scheduler/scheduler.h"

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "coordinator/scheduler/complete.h"
#include "coordinator/scheduler/fake_pipeline.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr int32_t kBlocks = 20;

std::vector<int32_t> Prompt(int32_t count, int32_t salt = 0) {
  std::vector<int32_t> tokens(count);
  for (int32_t i = 0; i < count; ++i) tokens[i] = (i * i * 5 + 3 + salt) % kFakeVocabulary;
  return tokens;
}

Request RequestFor(std::vector<int32_t> prompt, int32_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  return request;
}

SchedulerOptions Options() {
  SchedulerOptions options;
  options.kv_block_counts = {kBlocks};
  options.context_length = 512;
  options.vocabulary_size = kFakeVocabulary;
  return options;
}

TEST(SchedulerTest, CompletesARequest) {
  FakePipeline pipeline(3);
  Scheduler scheduler(pipeline, Options());
  const absl::StatusOr<Completion> done = Complete(scheduler, RequestFor(Prompt(100), 40));
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->ids, FakeAnswer(Prompt(100), 40));
  EXPECT_EQ(done->finish_reason, FinishReason::kLength);
  EXPECT_GE(done->usage.total_ms, done->usage.first_token_ms);
  const SchedulerStats stats = scheduler.Stats();
  EXPECT_EQ(stats.requests_finished, 1u);
  EXPECT_EQ(stats.generated_tokens, 40u);
  EXPECT_EQ(stats.stage_busy_ms.size(), 3u);
}

TEST(SchedulerTest, ManyThreadsGetEachTheirOwnAnswer) {
  FakePipeline pipeline(2);
  Scheduler scheduler(pipeline, Options());
  std::vector<std::thread> threads;
  for (int32_t i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int32_t j = 0; j < 20; ++j) {
        const std::vector<int32_t> prompt = Prompt(1 + 7 * j, i);
        const absl::StatusOr<Completion> done = Complete(scheduler, RequestFor(prompt, 15));
        ASSERT_TRUE(done.ok()) << done.status();
        EXPECT_EQ(done->ids, FakeAnswer(prompt, 15));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(scheduler.Stats().requests_finished, 160u);
}

TEST(SchedulerTest, RefusesWhatHasNoMeaning) {
  FakePipeline pipeline(1);
  Scheduler scheduler(pipeline, Options());
  const auto error = [&](Request request) {
    const absl::Status status = Complete(scheduler, std::move(request)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };
  EXPECT_EQ(error(RequestFor({}, 1)), "the prompt has no tokens");
  EXPECT_EQ(error(RequestFor(Prompt(513), 1)),
            "the prompt has 513 tokens, and the context has room for 512");
  EXPECT_EQ(error(RequestFor({97}, 1)), "the prompt has token 97; the vocabulary has ids 0 to 96");
  Request request = RequestFor({1}, 1);
  request.logit_bias = {{-1, 0.0f}};
  EXPECT_EQ(error(request), "the logit bias has token -1; the vocabulary has ids 0 to 96");
  request = RequestFor({1}, 1);
  request.choice_count = 0;
  EXPECT_EQ(error(request), "0 choices are asked for, expected 1 to 128");
  request = RequestFor({1}, 1);
  request.score_after = 0;
  EXPECT_EQ(error(request),
            "scores are asked for after token 0 of 1, and 1 new tokens: expected none");
  request = RequestFor({1}, 1);
  request.sampling.top_p = 2;
  EXPECT_NE(error(request).find("--top-p is 2"), std::string::npos);
}

TEST(SchedulerTest, TheContextIsWhatTheBlocksHold) {
  FakePipeline pipeline(1);
  SchedulerOptions options = Options();
  options.kv_block_counts = {2};
  const Scheduler scheduler(pipeline, options);
  EXPECT_EQ(scheduler.context_length(), 2 * kKvBlockTokens);
}

// A sink that holds up the scheduler until it is let go.
class Gate : public RequestSink {
 public:
  bool OnToken(int, const SampleResult&, absl::Span<const float>) override {
    std::unique_lock<std::mutex> lock(mutex_);
    reached_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    return true;
  }
  void OnChoiceDone(int, FinishReason reason) override { reason_ = reason; }
  void OnDone(const absl::Status& status, const Usage&) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    status_ = status;
    done_ = true;
    changed_.notify_all();
  }
  void AwaitToken() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return reached_; });
  }
  void Open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  FinishReason AwaitEnd() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
    return reason_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reached_ = false;
  bool open_ = false;
  bool done_ = false;
  absl::Status status_;
  FinishReason reason_ = FinishReason::kLength;
};

TEST(SchedulerTest, AFullQueueIsSaidAtOnce) {
  FakePipeline pipeline(1);
  SchedulerOptions options = Options();
  options.queue_limit = 3;
  Scheduler scheduler(pipeline, options);
  const auto gate = std::make_shared<Gate>();
  ASSERT_TRUE(scheduler.Submit(RequestFor(Prompt(10), 2), gate).ok());
  gate->AwaitToken();
  std::vector<PendingCompletion> pending;
  for (int i = 0; i < 3; ++i) {
    auto one = PendingCompletion::Start(scheduler, RequestFor(Prompt(20, i), 2));
    ASSERT_TRUE(one.ok()) << one.status();
    pending.push_back(*std::move(one));
  }
  EXPECT_EQ(Complete(scheduler, RequestFor(Prompt(10), 2)).status(),
            absl::ResourceExhaustedError("3 requests wait already, which is the limit"));
  gate->Open();
  for (PendingCompletion& one : pending) EXPECT_TRUE(one.Wait().ok());
  EXPECT_EQ(scheduler.Stats().requests_refused, 1u);
}

TEST(SchedulerTest, ARequestCanBeCancelledFromAnywhere) {
  FakePipeline pipeline(2);
  Scheduler scheduler(pipeline, Options());
  const auto gate = std::make_shared<Gate>();
  const absl::StatusOr<RequestId> id = scheduler.Submit(RequestFor(Prompt(10), -1), gate);
  ASSERT_TRUE(id.ok());
  gate->AwaitToken();
  scheduler.Cancel(*id);
  scheduler.Cancel(*id + 7);  // nobody's
  gate->Open();
  EXPECT_EQ(gate->AwaitEnd(), FinishReason::kCancelled);
}

// Whose steps do not come back before somebody says so.
class HeldPipeline : public FakePipeline {
 public:
  HeldPipeline() : FakePipeline(1) {}
  absl::StatusOr<StepResult> Next() override {
    released_.get_future().wait();
    return FakePipeline::Next();
  }
  void Release() { released_.set_value(); }

 private:
  std::promise<void> released_;
};

TEST(SchedulerTest, ADeadlinePassesWithoutAStep) {
  HeldPipeline pipeline;
  Scheduler scheduler(pipeline, Options());
  const auto sink = std::make_shared<Gate>();
  Request request = RequestFor(Prompt(10), 1);
  request.timeout_ms = 20;
  ASSERT_TRUE(scheduler.Submit(std::move(request), sink).ok());
  EXPECT_EQ(sink->AwaitEnd(), FinishReason::kDeadline);
  pipeline.Release();
}

TEST(SchedulerTest, ASinkMaySubmitAndCancel) {
  FakePipeline pipeline(2);
  Scheduler scheduler(pipeline, Options());
  std::vector<PendingCompletion> more;
  const auto done = Complete(scheduler, RequestFor(Prompt(10), 5), [&](const auto&, auto) {
    more.push_back(*PendingCompletion::Start(scheduler, RequestFor(Prompt(5), 3)));
    scheduler.Cancel(1000);
    return true;
  });
  ASSERT_TRUE(done.ok());
  for (PendingCompletion& one : more) EXPECT_EQ(one.Wait()->ids, FakeAnswer(Prompt(5), 3));
  EXPECT_EQ(more.size(), 5u);
}

TEST(SchedulerTest, DrainFinishesWhatItHas) {
  FakePipeline pipeline(2);
  Scheduler scheduler(pipeline, Options());
  auto one = PendingCompletion::Start(scheduler, RequestFor(Prompt(10), 30));
  ASSERT_TRUE(one.ok());
  scheduler.Drain();
  EXPECT_EQ(one->Wait()->ids, FakeAnswer(Prompt(10), 30));
  EXPECT_EQ(Complete(scheduler, RequestFor(Prompt(10), 1)).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(SchedulerTest, StopCancelsWhatItHas) {
  FakePipeline pipeline(2);
  Scheduler scheduler(pipeline, Options());
  std::atomic<bool> started = false;
  auto one =
      PendingCompletion::Start(scheduler, RequestFor(Prompt(10), -1), [&](const auto&, auto) {
        started = true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return true;
      });
  ASSERT_TRUE(one.ok());
  while (!started) std::this_thread::yield();
  scheduler.Stop();
  EXPECT_EQ(one->Wait()->finish_reason, FinishReason::kCancelled);
}

TEST(SchedulerTest, ALostPipelineEndsEverythingWithItsReason) {
  for (const bool at_submit : {false, true}) {
    FakePipeline pipeline(2);
    (at_submit ? pipeline.fail_submit_at : pipeline.lost_at) = 5;
    Scheduler scheduler(pipeline, Options());
    const absl::Status lost = Complete(scheduler, RequestFor(Prompt(10), 30)).status();
    EXPECT_EQ(lost.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(Complete(scheduler, RequestFor(Prompt(10), 30)).status(), lost);
  }
}

TEST(SchedulerTest, TellsOfEveryStep) {
  FakePipeline pipeline(2);
  std::vector<StepRecord> records;
  SchedulerOptions options = Options();
  options.on_step = [&](const StepRecord& record) { records.push_back(record); };
  Scheduler scheduler(pipeline, options);
  ASSERT_TRUE(Complete(scheduler, RequestFor(Prompt(20), 3)).ok());
  scheduler.Stop();
  ASSERT_EQ(records.size(), pipeline.rows.size());
  EXPECT_EQ(records[0].prompt_rows, 20);
  EXPECT_EQ(records[1].decode_rows, 1);
  EXPECT_EQ(records[1].step, 1u);
  EXPECT_EQ(records[1].stages.size(), 2u);
  EXPECT_LE(records[1].submitted_ms, records[1].returned_ms);
}

}  // namespace
}  // namespace baton
