#include "coordinator/scheduler/step_queue.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace baton {

StepQueue::StepQueue(Pipeline& pipeline)
    : pipeline_(pipeline), window_(pipeline.stage_count() + 1) {}

absl::Status StepQueue::Submit(Span span, OutputSpec output, Done done) {
  while (in_flight_.size() >= window_) RETURN_IF_ERROR(AwaitOldest());
  Batch batch;
  batch.step = next_step_;
  batch.spans.push_back(std::move(span));
  std::vector<OutputSpec> outputs;
  outputs.push_back(std::move(output));
  RETURN_IF_ERROR(pipeline_.Submit(std::move(batch), std::move(outputs)));
  ++next_step_;
  in_flight_.push_back(std::move(done));
  return absl::OkStatus();
}

absl::Status StepQueue::Drain() {
  absl::Status first_error;
  while (!in_flight_.empty()) first_error.Update(AwaitOldest());
  return first_error;
}

absl::Status StepQueue::AwaitOldest() {
  const Done done = std::move(in_flight_.front());
  in_flight_.pop_front();
  ASSIGN_OR_RETURN(StepResult result, pipeline_.Next());
  if (result.outputs.size() != 1) {
    return absl::InternalError(absl::StrCat("step ", result.step, " came back with ",
                                            result.outputs.size(), " outputs, expected 1"));
  }
  totals_.compute_ms.resize(result.stages.size());
  for (size_t i = 0; i < result.stages.size(); ++i) {
    totals_.compute_ms[i] += result.stages[i].compute_ms;
  }
  ++totals_.step_count;
  done(std::move(result.outputs.front()));
  return absl::OkStatus();
}

StageTotals StepQueue::TakeTotals() { return std::exchange(totals_, StageTotals()); }

}  // namespace baton
