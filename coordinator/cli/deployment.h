// A model that is opened, planned and running: everything between options and tokens.
#ifndef BATON_COORDINATOR_CLI_DEPLOYMENT_H_
#define BATON_COORDINATOR_CLI_DEPLOYMENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/cli/options.h"
#include "coordinator/cluster/local_workers.h"
#include "coordinator/cluster/remote_pipeline.h"
#include "coordinator/scheduler/scheduler.h"
#include "coordinator/scheduler/step_trace.h"
#include "engine/gguf/gguf_file.h"
#include "engine/model/cache_groups.h"
#include "engine/model/model_spec.h"
#include "engine/pipeline/plan.h"
#include "engine/pipeline/stage.h"

namespace baton {

// What is known before anything is started.
struct PlannedModel {
  PlannedModel(GgufFile gguf, ModelSpec model_spec)
      : file(std::move(gguf)), spec(std::move(model_spec)), cache_groups(CacheGroupsOf(spec)) {}
  GgufFile file;
  ModelSpec spec;
  std::vector<CacheGroup> cache_groups;
  PipelinePlan plan;
  std::vector<std::string> workers;      // as people call them, by stage
  int32_t context_length = 0;            // positions of a sequence
  std::vector<int32_t> kv_block_counts;  // of every stage, by cache group
};

// Reads the header and decides. `default_context`: where the options name none; 0: the model's,
// less where memory is short, which stderr is told. Errors: those of the file; a plan or a context
// that the model has no room for.
absl::StatusOr<PlannedModel> PlanModel(const Options& options, int32_t default_context);

// Gives all stages so many KV blocks, by cache group, and counts their bytes in the plan.
void SetKvBlocks(std::vector<int32_t> block_counts, const Options& options, PlannedModel& model);

// Compute threads of each local worker, or of the stages in this process.
int ThreadsPerWorker(const Options& options);

// Running stages. Destroying it ends local workers.
class Deployment {
 public:
  // Loads, with progress on stderr, which `on_progress` hears of too, as a share of 1, unless it is
  // null. Both others outlive this.
  // REQUIRES: the calling thread lives as long as this.
  static absl::StatusOr<std::unique_ptr<Deployment>> Start(
      const Options& options, const PlannedModel& model,
      const std::function<void(double share)>& on_progress = nullptr);

  // Writes the trace, where one is asked for.
  ~Deployment();

  const PlannedModel& model() const { return model_; }
  // For who numbers the steps himself, and has no use for scheduler().
  Pipeline& pipeline() { return *pipeline_; }
  // The only user of the pipeline, from the first call on.
  Scheduler& scheduler();
  // Hears of each step of scheduler(), from a thread of it. Before the first call of that.
  void OnStep(std::function<void(const StepRecord&)> on_step) { on_step_ = std::move(on_step); }
  absl::StatusOr<std::vector<StageStats>> Stats() { return pipeline_->Stats(); }
  double load_ms() const { return load_ms_; }
  // Ends what waits for workers. Thread-safe. A step inside this process is not cut short.
  void Cancel();

 private:
  Deployment(const Options& options, const PlannedModel& model)
      : options_(options), model_(model) {}
  absl::Status StartStages(const LoadProgress& progress);
  absl::Status StartWorkers(const LoadProgress& progress);

  const Options& options_;
  const PlannedModel& model_;
  std::unique_ptr<LocalWorkers> local_workers_;
  std::unique_ptr<Pipeline> pipeline_;
  RemotePipeline* remote_ = nullptr;  // the pipeline, where it is one
  std::function<void(const StepRecord&)> on_step_;
  std::unique_ptr<StepTrace> trace_;  // null: none is asked for
  std::unique_ptr<Scheduler> scheduler_;
  double load_ms_ = 0;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_DEPLOYMENT_H_
