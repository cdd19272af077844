#include "coordinator/bench/stream_bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <memory>
#include <random>
#include <utility>

#include "absl/status/status.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr double kMsPerSecond = 1000.0;
// How soon an interrupt is noticed.
constexpr std::chrono::milliseconds kAskInterval{100};

// When every token of all streams came. Thread-safe.
class Arrivals {
 public:
  explicit Arrivals(int32_t stream_count) : times_(stream_count), left_(stream_count) {}

  void OnToken(int32_t stream) {
    const Clock::time_point now = Clock::now();
    const std::lock_guard<std::mutex> lock(mutex_);
    times_[stream].push_back(now);
  }
  void OnDone(const absl::Status& status) {
    const std::lock_guard<std::mutex> lock(mutex_);
    status_.Update(status);
    --left_;
    changed_.notify_all();
  }
  // Until all are done. Cancelled when keep_going says no before.
  absl::Status Wait(const std::function<bool()>& keep_going) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!changed_.wait_for(lock, kAskInterval, [this] { return left_ == 0; })) {
      if (!keep_going()) return absl::CancelledError("interrupted");
    }
    return status_;
  }
  // Once all are done.
  const std::vector<std::vector<Clock::time_point>>& times() const { return times_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<Clock::time_point>> times_;  // by stream
  int32_t left_;
  absl::Status status_;
};

class StreamSink : public RequestSink {
 public:
  StreamSink(std::shared_ptr<Arrivals> arrivals, int32_t stream)
      : arrivals_(std::move(arrivals)), stream_(stream) {}
  bool OnToken(int, const SampleResult&, absl::Span<const float>) override {
    arrivals_->OnToken(stream_);
    return true;
  }
  void OnDone(const absl::Status& status, const Usage&) override { arrivals_->OnDone(status); }

 private:
  const std::shared_ptr<Arrivals> arrivals_;
  const int32_t stream_;
};

Request MakeRequest(const StreamTest& test, int32_t vocabulary_size, uint64_t seed,
                    Speculation speculation) {
  std::mt19937_64 random(seed);
  Request request;
  for (int32_t i = 0; i < test.prompt_tokens; ++i) {
    request.prompt.push_back(static_cast<int32_t>(random() % vocabulary_size));
  }
  request.sampling.seed = seed;
  request.max_tokens = test.generated_tokens;
  request.cache_prompt = false;
  request.speculation = speculation;
  return request;
}

void Summarize(const Arrivals& arrivals, Clock::time_point start, StreamResult& result) {
  Clock::time_point last = start;
  int64_t count = 0;
  for (const std::vector<Clock::time_point>& times : arrivals.times()) {
    count += static_cast<int64_t>(times.size());
    for (size_t i = 0; i < times.size(); ++i) {
      auto& into = i == 0 ? result.first_token_ms : result.inter_token_ms;
      into.push_back(Milliseconds(times[i] - (i == 0 ? start : times[i - 1])).count());
      last = std::max(last, times[i]);
    }
  }
  std::sort(result.first_token_ms.begin(), result.first_token_ms.end());
  std::sort(result.inter_token_ms.begin(), result.inter_token_ms.end());
  const double elapsed_ms = std::max(Milliseconds(last - start).count(), 1e-3);
  result.tokens_per_second = static_cast<double>(count) * kMsPerSecond / elapsed_ms;
}

}  // namespace

std::vector<StreamTest> ListStreamTests(const BenchMatrix& matrix,
                                        const std::vector<int32_t>& stream_counts) {
  std::vector<StreamTest> tests;
  for (const int32_t streams : stream_counts) {
    for (const int32_t prompt : matrix.prompt_tokens) {
      for (const int32_t generated : matrix.generated_tokens) {
        tests.push_back({streams, prompt, generated});
      }
    }
  }
  return tests;
}

StreamResult Merge(const std::vector<StreamResult>& results) {
  CHECK(!results.empty());
  const double count = static_cast<double>(results.size());
  StreamResult merged;
  merged.test = results[0].test;
  merged.stages.resize(results[0].stages.size());
  for (const StreamResult& result : results) {
    merged.tokens_per_second += result.tokens_per_second / count;
    merged.first_token_ms.insert(merged.first_token_ms.end(), result.first_token_ms.begin(),
                                 result.first_token_ms.end());
    merged.inter_token_ms.insert(merged.inter_token_ms.end(), result.inter_token_ms.begin(),
                                 result.inter_token_ms.end());
    for (size_t i = 0; i < merged.stages.size(); ++i) {
      merged.stages[i].compute += result.stages[i].compute / count;
      merged.stages[i].send_wait += result.stages[i].send_wait / count;
      merged.stages[i].input_wait += result.stages[i].input_wait / count;
    }
  }
  std::sort(merged.first_token_ms.begin(), merged.first_token_ms.end());
  std::sort(merged.inter_token_ms.begin(), merged.inter_token_ms.end());
  return merged;
}

double Percentile(const std::vector<double>& ascending, double p) {
  CHECK(!ascending.empty());
  const double index = std::ceil(p * static_cast<double>(ascending.size())) - 1;
  return ascending[std::clamp<size_t>(static_cast<size_t>(std::max(index, 0.0)), 0,
                                      ascending.size() - 1)];
}

void StageClock::Add(const StepRecord& record) {
  const std::lock_guard<std::mutex> lock(mutex_);
  sums_.resize(std::max(sums_.size(), record.stages.size()));
  for (size_t i = 0; i < record.stages.size(); ++i) {
    sums_[i].compute_ms += record.stages[i].compute_ms;
    sums_[i].input_wait_ms += record.stages[i].input_wait_ms;
    sums_[i].send_wait_ms += record.stages[i].send_wait_ms;
  }
}

std::vector<StageTiming> StageClock::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(sums_, std::vector<StageTiming>(sums_.size()));
}

absl::StatusOr<StreamResult> RunStreamTest(const StreamTest& test, int32_t vocabulary_size,
                                           uint64_t seed, Speculation speculation,
                                           Scheduler& scheduler, StageClock& clock,
                                           const std::function<bool()>& keep_going) {
  StreamResult result;
  result.test = test;
  auto arrivals = std::make_shared<Arrivals>(test.stream_count);
  clock.Take();
  const Clock::time_point start = Clock::now();
  for (int32_t i = 0; i < test.stream_count; ++i) {
    RETURN_IF_ERROR(scheduler
                        .Submit(MakeRequest(test, vocabulary_size, seed + i, speculation),
                                std::make_shared<StreamSink>(arrivals, i))
                        .status());
  }
  RETURN_IF_ERROR(arrivals->Wait(keep_going));
  Summarize(*arrivals, start, result);
  const double elapsed_ms =
      test.generated_tokens * test.stream_count * kMsPerSecond / result.tokens_per_second;
  for (const StageTiming& sum : clock.Take()) {
    StageShares& shares = result.stages.emplace_back();
    shares.compute = std::min(1.0, sum.compute_ms / elapsed_ms);
    shares.send_wait = std::min(1.0 - shares.compute, sum.send_wait_ms / elapsed_ms);
    shares.input_wait = 1.0 - shares.compute - shares.send_wait;
  }
  return result;
}

}  // namespace baton
