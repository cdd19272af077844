#include "engine/pipeline/local_pipeline.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace baton {

LocalPipeline::LocalPipeline(std::vector<std::unique_ptr<Stage>> stages)
    : stages_(std::move(stages)) {
  CHECK(!stages_.empty());
}

absl::Status LocalPipeline::Submit(Batch batch, std::vector<OutputSpec> outputs) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (batch.step != next_step_) {
    return absl::InvalidArgumentError(
        absl::StrCat("step ", batch.step, " submitted, expected ", next_step_));
  }
  ++next_step_;
  steps_.push_back({std::move(batch), std::move(outputs)});
  submitted_.notify_one();
  return absl::OkStatus();
}

absl::StatusOr<StepResult> LocalPipeline::Next() {
  std::unique_lock<std::mutex> lock(mutex_);
  submitted_.wait(lock, [this] { return !steps_.empty(); });
  Step step = std::move(steps_.front());
  steps_.pop_front();
  lock.unlock();
  return Run(std::move(step));
}

absl::StatusOr<StepResult> LocalPipeline::Run(Step step) {
  using Clock = std::chrono::steady_clock;
  StepResult result;
  result.epoch = step.batch.epoch;
  result.step = step.batch.step;
  for (const std::unique_ptr<Stage>& stage : stages_) {
    const Clock::time_point start = Clock::now();
    ASSIGN_OR_RETURN(StageOutput output, stage->Forward(step.batch, step.outputs));
    const std::chrono::duration<double, std::milli> elapsed = Clock::now() - start;
    result.stages.push_back({elapsed.count()});
    step.batch.hidden = std::move(output.hidden);
    step.batch.failures = std::move(output.failures);
    result.outputs = std::move(output.outputs);
  }
  return result;
}

absl::StatusOr<std::vector<StageStats>> LocalPipeline::Stats() {
  std::vector<StageStats> stats;
  for (const std::unique_ptr<Stage>& stage : stages_) stats.push_back(stage->Stats());
  return stats;
}

}  // namespace baton
