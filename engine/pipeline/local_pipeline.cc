#include "engine/pipeline/local_pipeline.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

}  // namespace

LocalPipeline::LocalPipeline(std::vector<std::unique_ptr<Stage>> stages)
    : stages_(std::move(stages)), last_ends_(stages_.size()) {
  CHECK(!stages_.empty());
  if (stages_.back()->role().shared_logits == 0) return;
  CHECK(stages_.size() > 1);
  partner_.emplace(*stages_[stages_.size() - 2]);
  stages_.back()->SetHeadPartner(&*partner_);
}

absl::StatusOr<int64_t> LocalPipeline::Partner::Begin(HeadRequest request) {
  ASSIGN_OR_RETURN(shares_[next_request_], stage_.SharedLogits(request));
  return next_request_++;
}

absl::StatusOr<HeadShare> LocalPipeline::Partner::Finish(int64_t request) {
  return std::move(shares_.extract(request).mapped());
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
  StepResult result;
  result.epoch = step.batch.epoch;
  result.step = step.batch.step;
  for (size_t i = 0; i < stages_.size(); ++i) {
    const Clock::time_point start = Clock::now();
    ASSIGN_OR_RETURN(StageOutput output, stages_[i]->Forward(step.batch, step.outputs));
    if (output.finish) {
      ASSIGN_OR_RETURN(output.outputs, output.finish());
    }
    const Clock::time_point end = Clock::now();
    const Clock::time_point idle_since = std::exchange(last_ends_[i], end);
    StageTiming& timing = result.stages.emplace_back();
    timing.compute_ms = Milliseconds(end - start).count();
    if (idle_since != Clock::time_point()) {
      timing.input_wait_ms = Milliseconds(start - idle_since).count();
    }
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
