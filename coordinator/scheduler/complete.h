// One request, waited for: for callers that have nothing else to do.
#ifndef BATON_COORDINATOR_SCHEDULER_COMPLETE_H_
#define BATON_COORDINATOR_SCHEDULER_COMPLETE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "coordinator/scheduler/request.h"
#include "coordinator/scheduler/scheduler.h"

namespace baton {

struct Completion {
  std::vector<int32_t> ids;  // of choice 0, without the end token
  FinishReason finish_reason = FinishReason::kLength;
  std::vector<double> scores;  // where they were asked for
  Usage usage;
};

// Called with each token of choice 0 as it comes, from a thread of the scheduler; false ends it
// there.
using TokenCallback =
    std::function<bool(const SampleResult& sample, absl::Span<const float> logits)>;

// A request under way.
class PendingCompletion {
 public:
  // `on_token` may be null; it outlives the request. Errors of Scheduler::Submit().
  static absl::StatusOr<PendingCompletion> Start(Scheduler& scheduler, Request request,
                                                 TokenCallback on_token = nullptr);
  // Waits for its end, once. Errors are those of the request.
  absl::StatusOr<Completion> Wait();

 private:
  class Sink;
  explicit PendingCompletion(std::shared_ptr<Sink> sink) : sink_(std::move(sink)) {}
  std::shared_ptr<Sink> sink_;
};

// Start() and Wait().
absl::StatusOr<Completion> Complete(Scheduler& scheduler, Request request,
                                    TokenCallback on_token = nullptr);

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_COMPLETE_H_
