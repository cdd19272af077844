// Stages of one process in a row: the whole product without a network.
#ifndef BATON_ENGINE_PIPELINE_LOCAL_PIPELINE_H_
#define BATON_ENGINE_PIPELINE_LOCAL_PIPELINE_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/pipeline/batch.h"
#include "engine/pipeline/stage.h"

namespace baton {

// Submit only queues; Next runs the step through all stages on its own thread.
class LocalPipeline : public Pipeline {
 public:
  // At least one stage, first to last.
  explicit LocalPipeline(std::vector<std::unique_ptr<Stage>> stages);
  int stage_count() const override { return static_cast<int>(stages_.size()); }
  // They take turns: each has all of the machine.
  int parallel_stages() const override { return 1; }
  // InvalidArgument when batch.step is not the next one.
  absl::Status Submit(Batch batch, std::vector<OutputSpec> outputs) override;
  // Waits for a Submit when there is no step to run.
  absl::StatusOr<StepResult> Next() override;
  absl::StatusOr<std::vector<StageStats>> Stats() override;

 private:
  struct Step {
    Batch batch;
    std::vector<OutputSpec> outputs;
  };
  // The stage before the last, asked directly.
  class Partner : public HeadPartner {
   public:
    explicit Partner(Stage& stage) : stage_(stage) {}
    absl::StatusOr<int64_t> Begin(HeadRequest request) override;
    absl::StatusOr<HeadShare> Finish(int64_t request) override;

   private:
    Stage& stage_;
    std::map<int64_t, HeadShare> shares_;  // by request
    int64_t next_request_ = 0;
  };

  absl::StatusOr<StepResult> Run(Step step);

  const std::vector<std::unique_ptr<Stage>> stages_;
  std::optional<Partner> partner_;  // of a head that shares its matrix
  // When each last computed; its clock's epoch: never. Of Next() alone.
  std::vector<std::chrono::steady_clock::time_point> last_ends_;
  std::mutex mutex_;
  std::condition_variable submitted_;
  std::deque<Step> steps_;  // submitted and not yet returned
  uint64_t next_step_ = 0;
};

}  // namespace baton

#endif  // BATON_ENGINE_PIPELINE_LOCAL_PIPELINE_H_
