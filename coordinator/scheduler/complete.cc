#include "coordinator/scheduler/complete.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "engine/base/status_macros.h"

namespace baton {

class PendingCompletion::Sink : public RequestSink {
 public:
  explicit Sink(TokenCallback on_token) : on_token_(std::move(on_token)) {}

  bool OnToken(int choice, const SampleResult& sample, absl::Span<const float> logits) override {
    if (choice != 0) return true;
    completion_.ids.push_back(sample.token);
    return on_token_ == nullptr || on_token_(sample, logits);
  }
  void OnScores(absl::Span<const double> scores) override {
    completion_.scores.insert(completion_.scores.end(), scores.begin(), scores.end());
  }
  void OnChoiceDone(int choice, FinishReason reason) override {
    if (choice == 0) completion_.finish_reason = reason;
  }
  void OnDone(const absl::Status& status, const Usage& usage) override {
    completion_.usage = usage;
    const std::lock_guard<std::mutex> lock(mutex_);
    status_ = status;
    done_ = true;
    changed_.notify_all();
  }

  absl::StatusOr<Completion> Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
    RETURN_IF_ERROR(status_);
    return std::move(completion_);
  }

 private:
  const TokenCallback on_token_;
  Completion completion_;  // of the scheduler's thread until done
  std::mutex mutex_;       // of what follows
  std::condition_variable changed_;
  bool done_ = false;
  absl::Status status_;
};

absl::StatusOr<PendingCompletion> PendingCompletion::Start(Scheduler& scheduler, Request request,
                                                           TokenCallback on_token) {
  auto sink = std::make_shared<Sink>(std::move(on_token));
  RETURN_IF_ERROR(scheduler.Submit(std::move(request), sink).status());
  return PendingCompletion(std::move(sink));
}

absl::StatusOr<Completion> PendingCompletion::Wait() { return sink_->Wait(); }

absl::StatusOr<Completion> Complete(Scheduler& scheduler, Request request, TokenCallback on_token) {
  ASSIGN_OR_RETURN(PendingCompletion pending,
                   PendingCompletion::Start(scheduler, std::move(request), std::move(on_token)));
  return pending.Wait();
}

}  // namespace baton
