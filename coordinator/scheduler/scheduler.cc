#include "coordinator/scheduler/scheduler.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/scheduler/batcher.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

// Answers to one prompt. Each has KV blocks of its own.
constexpr int kMaxChoices = 128;
// Durations of the standard library count nanoseconds: what is further away is looked at again.
constexpr double kLongestWaitMs = 3.6e6;

absl::Status CheckToken(const char* what, int32_t token, int32_t vocabulary_size) {
  if (token >= 0 && token < vocabulary_size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      what, " has token ", token, "; the vocabulary has ids 0 to ", vocabulary_size - 1));
}

absl::Status CheckRequest(const Request& request, const SchedulerOptions& options) {
  const int64_t count = static_cast<int64_t>(request.prompt.size());
  if (count == 0) return absl::InvalidArgumentError("the prompt has no tokens");
  if (count > options.context_length) {
    return absl::InvalidArgumentError(absl::StrCat("the prompt has ", count,
                                                   " tokens, and the context has room for ",
                                                   options.context_length));
  }
  for (const int32_t token : request.prompt) {
    RETURN_IF_ERROR(CheckToken("the prompt", token, options.vocabulary_size));
  }
  for (const auto& [token, bias] : request.logit_bias) {
    RETURN_IF_ERROR(CheckToken("the logit bias", token, options.vocabulary_size));
  }
  if (request.choice_count < 1 || request.choice_count > kMaxChoices) {
    return absl::InvalidArgumentError(
        absl::StrCat(request.choice_count, " choices are asked for, expected 1 to ", kMaxChoices));
  }
  if (request.score_after >= 0 && (request.max_tokens != 0 || request.score_after >= count)) {
    return absl::InvalidArgumentError(
        absl::StrCat("scores are asked for after token ", request.score_after, " of ", count,
                     ", and ", request.max_tokens, " new tokens: expected none"));
  }
  return ValidateSamplingParams(request.sampling);
}

}  // namespace

// Two threads: one takes what comes in while nothing comes back, the other what comes back. Both
// then compose as many steps as there is room for. `mutex_` is held by whoever does so; callers
// never wait for it, since a sink may be one: they leave a note in the inbox.
class Scheduler::Impl {
 public:
  Impl(Pipeline& pipeline, SchedulerOptions options)
      : pipeline_(pipeline),
        options_(std::move(options)),
        batcher_(options_, pipeline.parallel_stages()),
        intake_([this] { TakeIn(); }),
        results_([this] { TakeResults(); }) {}

  ~Impl() {
    Stop();
    {
      const std::scoped_lock lock(mutex_, inbox_mutex_);
      closing_ = true;
    }
    note_came_.notify_all();
    changed_.notify_all();
    intake_.join();
    results_.join();
  }

  absl::StatusOr<RequestId> Submit(Request request, std::shared_ptr<RequestSink> sink) {
    RETURN_IF_ERROR(CheckRequest(request, options_));
    const std::lock_guard<std::mutex> lock(inbox_mutex_);
    RETURN_IF_ERROR(refusal_);
    if (queued_ + new_.size() >= static_cast<size_t>(options_.queue_limit)) {
      ++refused_;
      return absl::ResourceExhaustedError(
          absl::StrCat(queued_ + new_.size(), " requests wait already, which is the limit"));
    }
    const RequestId id = ++last_id_;
    new_.push_back({id, std::move(request), std::move(sink), Now()});
    note_came_.notify_one();
    return id;
  }

  void Cancel(RequestId id) {
    const std::lock_guard<std::mutex> lock(inbox_mutex_);
    cancelled_.push_back(id);
    note_came_.notify_one();
  }

  void Drain() {
    Refuse(absl::UnavailableError("no more requests are taken: the server is about to end"));
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return IsIdle(); });
  }

  void Stop() {
    Refuse(absl::UnavailableError("no more requests are taken: the server has been stopped"));
    {
      const std::lock_guard<std::mutex> lock(inbox_mutex_);
      cancel_all_ = true;
    }
    note_came_.notify_one();
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return IsIdle(); });
  }

  SchedulerStats Stats() {
    const std::lock_guard<std::mutex> lock(mutex_);
    SchedulerStats stats = batcher_.stats(Now());
    const std::lock_guard<std::mutex> inbox_lock(inbox_mutex_);
    stats.queued_requests += static_cast<int64_t>(new_.size());
    stats.requests_refused = refused_;
    return stats;
  }

  int32_t context_length() const { return options_.context_length; }

 private:
  struct NewRequest {
    RequestId id;
    Request request;
    std::shared_ptr<RequestSink> sink;
    double arrived_ms;
  };

  double Now() const { return Milliseconds(Clock::now() - start_).count(); }

  // The first reason stays.
  void Refuse(const absl::Status& reason) {
    const std::lock_guard<std::mutex> lock(inbox_mutex_);
    refusal_.Update(reason);
  }

  // With mutex_ held.
  bool IsIdle() {
    const std::lock_guard<std::mutex> lock(inbox_mutex_);
    return new_.empty() && batcher_.idle() && batcher_.steps_in_flight() == 0;
  }

  void TakeIn() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (AwaitNote(lock)) {
      EmptyInbox();
      batcher_.Expire(Now());
      Pump();
    }
  }

  // Gives up `lock` until something is in the inbox or a request runs out of time. False when
  // closing.
  bool AwaitNote(std::unique_lock<std::mutex>& lock) {
    const double deadline_ms = batcher_.next_deadline_ms();
    {
      const std::lock_guard<std::mutex> inbox_lock(inbox_mutex_);
      awaited_deadline_ms_ = deadline_ms;
    }
    lock.unlock();
    {
      std::unique_lock<std::mutex> inbox_lock(inbox_mutex_);
      const auto came = [this, deadline_ms] {
        return closing_ || cancel_all_ || !new_.empty() || !cancelled_.empty() ||
               awaited_deadline_ms_ != deadline_ms;
      };
      if (deadline_ms == std::numeric_limits<double>::infinity()) {
        note_came_.wait(inbox_lock, came);
      } else {
        const double wait_ms = std::clamp(deadline_ms - Now(), 0.0, kLongestWaitMs);
        note_came_.wait_for(inbox_lock, Milliseconds(wait_ms), came);
      }
      if (closing_) return false;
    }
    lock.lock();
    return true;
  }

  // With mutex_ held, as are the following.
  void EmptyInbox() {
    std::vector<NewRequest> requests;
    std::vector<RequestId> cancelled;
    bool cancel_all = false;
    {
      const std::lock_guard<std::mutex> lock(inbox_mutex_);
      requests.swap(new_);
      cancelled.swap(cancelled_);
      cancel_all = std::exchange(cancel_all_, false);
      // They count as waiting until it is known whether they must.
      queued_ += requests.size();
    }
    for (NewRequest& one : requests) {
      batcher_.Add(one.id, std::move(one.request), std::move(one.sink), one.arrived_ms);
    }
    for (const RequestId id : cancelled) batcher_.Cancel(id, Now());
    if (cancel_all) batcher_.CancelAll(Now());
    if (!broken_.ok()) batcher_.FailAll(broken_, Now());
  }

  // Submits what can be submitted, and tells the others of the new state.
  void Pump() {
    while (broken_.ok()) {
      std::optional<Batcher::Step> step = batcher_.Compose(Now());
      if (!step.has_value()) break;
      const absl::Status status =
          pipeline_.Submit(std::move(step->batch), std::move(step->outputs));
      if (status.ok()) continue;
      if (IsLost(status)) {
        Break(status);
      } else {
        batcher_.Withdraw(status, Now());
      }
    }
    {
      const std::lock_guard<std::mutex> lock(inbox_mutex_);
      queued_ = batcher_.queued_requests();
    }
    changed_.notify_all();
  }

  static bool IsLost(const absl::Status& status) {
    return absl::IsUnavailable(status) || absl::IsCancelled(status);
  }

  void Break(const absl::Status& status) {
    broken_ = status;
    Refuse(status);
    batcher_.FailAll(status, Now());
  }

  void TakeResults() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return closing_ || batcher_.steps_in_flight() > 0; });
      if (batcher_.steps_in_flight() == 0) return;
      lock.unlock();
      const absl::StatusOr<StepResult> result = pipeline_.Next();
      lock.lock();
      // The other thread may wait for the lock behind this one for as long as steps come back.
      EmptyInbox();
      if (batcher_.steps_in_flight() > 0) {
        if (IsLost(result.status())) {
          Break(result.status());
        } else {
          batcher_.Finish(result, Now());
          batcher_.Expire(Now());
        }
      }
      Pump();
      WaitNoLonger();
    }
  }

  // For the other thread, where what was taken in here ends sooner than what it waits for.
  void WaitNoLonger() {
    const std::lock_guard<std::mutex> lock(inbox_mutex_);
    if (batcher_.next_deadline_ms() >= awaited_deadline_ms_) return;
    awaited_deadline_ms_ = batcher_.next_deadline_ms();
    note_came_.notify_one();
  }

  Pipeline& pipeline_;
  const SchedulerOptions options_;
  const Clock::time_point start_ = Clock::now();

  std::mutex mutex_;  // of what follows; taken before inbox_mutex_
  std::condition_variable changed_;
  Batcher batcher_;
  absl::Status broken_;

  std::mutex inbox_mutex_;  // of what follows
  std::condition_variable note_came_;
  std::vector<NewRequest> new_;
  std::vector<RequestId> cancelled_;
  bool cancel_all_ = false;
  double awaited_deadline_ms_ = std::numeric_limits<double>::infinity();  // by intake_
  absl::Status refusal_;                                                  // of all later requests
  size_t queued_ = 0;  // requests in the batcher that wait
  uint64_t refused_ = 0;
  RequestId last_id_ = 0;

  bool closing_ = false;  // of both mutexes

  std::thread intake_;
  std::thread results_;
};

namespace {

SchedulerOptions WithinBlocks(SchedulerOptions options) {
  CHECK(options.kv_block_counts.size() == options.cache_groups.size());
  for (size_t i = 0; i < options.cache_groups.size(); ++i) {
    if (options.cache_groups[i].window > 0) continue;  // serves any number of positions
    options.context_length = static_cast<int32_t>(
        std::min<int64_t>(options.context_length, PositionsIn(options.kv_block_counts[i])));
  }
  return options;
}

}  // namespace

Scheduler::Scheduler(Pipeline& pipeline, SchedulerOptions options)
    : impl_(std::make_unique<Impl>(pipeline, WithinBlocks(std::move(options)))) {}

Scheduler::~Scheduler() = default;

absl::StatusOr<RequestId> Scheduler::Submit(Request request, std::shared_ptr<RequestSink> sink) {
  return impl_->Submit(std::move(request), std::move(sink));
}

void Scheduler::Cancel(RequestId id) { impl_->Cancel(id); }
void Scheduler::Drain() { impl_->Drain(); }
void Scheduler::Stop() { impl_->Stop(); }
SchedulerStats Scheduler::Stats() const { return impl_->Stats(); }
int32_t Scheduler::context_length() const { return impl_->context_length(); }

}  // namespace baton
