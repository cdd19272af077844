// Steps in flight, in order.
#ifndef BATON_COORDINATOR_SCHEDULER_STEP_QUEUE_H_
#define BATON_COORDINATOR_SCHEDULER_STEP_QUEUE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/pipeline/stage.h"

namespace baton {

// Compute time of each stage over the steps since the last reset.
struct StageTotals {
  std::vector<double> compute_ms;  // by stage
  int64_t step_count = 0;
};

// Numbers the steps of a pipeline, whose only user it is, and keeps at most stage_count + 1 of them
// in flight: enough that every stage has one while the next is on its way. Stages run steps in
// order, so a step may write KV positions that an earlier one, still in flight, reads. Not
// thread-safe.
class StepQueue {
 public:
  using Done = std::function<void(SpanOutput output)>;

  // `pipeline` outlives this.
  explicit StepQueue(Pipeline& pipeline);

  int stage_count() const { return pipeline_.stage_count(); }
  // Starts a step of one span, after taking the oldest results where too many are in flight; `done`
  // is called from a later Submit or Drain, with the result. Errors may be those of an earlier
  // step.
  absl::Status Submit(Span span, OutputSpec output, Done done);
  // Waits for everything in flight. The first error, if any; nothing is in flight afterwards.
  absl::Status Drain();

  // Since the last call.
  StageTotals TakeTotals();

 private:
  absl::Status AwaitOldest();

  Pipeline& pipeline_;
  const size_t window_;
  uint64_t next_step_ = 0;
  std::deque<Done> in_flight_;
  StageTotals totals_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_STEP_QUEUE_H_
