#include "coordinator/cli/deployment.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/cli/console.h"
#include "coordinator/cli/kv_sizes.h"
#include "coordinator/cli/load_progress.h"
#include "coordinator/cli/machine.h"
#include "coordinator/cli/text_format.h"
#include "coordinator/scheduler/kv_blocks.h"
#include "engine/base/status_macros.h"
#include "engine/inspect/check_model.h"
#include "engine/pipeline/local_pipeline.h"
#include "engine/pipeline/local_stage.h"
#include "engine/pipeline/step_work.h"
#include "proto/bounds.h"

namespace baton {
namespace {

// Beyond those of one sequence: room to start the next one in.
constexpr int32_t kSpareKvBlocks = 1;
// Of the memory that is free beside the weights: the rest is for scratch and for others.
constexpr uint64_t kKvMemoryDivisor = 2;
// Where nothing is known of the workers' memory: sequences of full length that fit.
constexpr int64_t kContextsElsewhere = 4;
// Sequences of full length that could ever run at once.
constexpr int64_t kMostContexts = 256;
// Below this a conversation makes no sense, and memory is not what is short.
constexpr int32_t kMinDefaultContext = 512;

int StageCount(const Options& options) {
  if (!options.workers.empty()) return static_cast<int>(options.workers.size());
  return std::max(options.local_worker_count, options.stage_count);
}

std::vector<std::string> WorkerNames(const Options& options) {
  std::vector<std::string> names;
  for (const WorkerEndpoint& worker : options.workers) names.push_back(worker.address);
  for (int i = 0; i < options.local_worker_count; ++i) names.push_back(absl::StrCat("worker ", i));
  if (names.empty()) names.assign(options.stage_count, "in process");
  return names;
}

bool InProcess(const Options& options) {
  return options.workers.empty() && options.local_worker_count == 0;
}

// Memory for K and V, where anything is known of it, and what competes for it.
struct KvBudget {
  std::optional<uint64_t> bytes;
  KvSizes sizes;
};

std::vector<std::vector<uint64_t>> StageBlockBytes(const PlannedModel& model,
                                                   const Options& options) {
  std::vector<std::vector<uint64_t>> bytes;
  for (const PlannedStage& stage : model.plan.stages) {
    bytes.push_back(KvBlockBytes(model.spec, stage.role.layers, options.numeric.kv_type));
  }
  return bytes;
}

KvBudget KvBudgetOf(const PlannedModel& model, const Options& options) {
  const std::vector<std::vector<uint64_t>> all_stages = {
      KvBlockBytes(model.spec, {0, model.spec.layer_count}, options.numeric.kv_type)};
  if (options.kv_memory_bytes.has_value()) {
    return {
        *options.kv_memory_bytes,
        {model.cache_groups, InProcess(options) ? all_stages : StageBlockBytes(model, options)}};
  }
  const uint64_t available = AvailableMemoryBytes();
  if (!options.workers.empty() || available == 0) {
    return {std::nullopt, {model.cache_groups, StageBlockBytes(model, options)}};
  }
  uint64_t weight_bytes = 0;
  for (const PlannedStage& stage : model.plan.stages) weight_bytes += stage.weight_bytes;
  return {(available - std::min(available, weight_bytes)) / kKvMemoryDivisor,
          {model.cache_groups, all_stages}};
}

// The longest context whose KV cache there is room for; the model's where nothing is known.
int32_t ContextWithinMemory(const PlannedModel& model, const Options& options) {
  const int32_t limit = static_cast<int32_t>(model.spec.context_length);
  const KvBudget budget = KvBudgetOf(model, options);
  if (!budget.bytes.has_value()) return limit;
  return std::max(budget.sizes.ContextWithin(*budget.bytes, kSpareKvBlocks, limit),
                  std::min(limit, kMinDefaultContext));
}

// As many as memory allows, for other sequences beside the first.
absl::StatusOr<std::vector<int32_t>> ChooseKvBlocks(const PlannedModel& model,
                                                    const Options& options) {
  const KvBudget budget = KvBudgetOf(model, options);
  const int32_t context = model.context_length;
  const int32_t least = BlocksFor(context) + kSpareKvBlocks;
  const int32_t most =
      static_cast<int32_t>(std::min<int64_t>(least * kMostContexts, int64_t{kMaxKvBlocks}));
  if (!budget.bytes.has_value()) {
    return budget.sizes.Counts(std::min<int32_t>(least * kContextsElsewhere, most), context);
  }
  const int32_t within = budget.sizes.BlocksWithin(*budget.bytes, context, most);
  if (options.kv_memory_bytes.has_value() && within < least) {
    return absl::InvalidArgumentError(
        absl::StrCat("--kv-memory is ", HumanBytes(*options.kv_memory_bytes), ", and a context of ",
                     context, " tokens takes ", HumanBytes(budget.sizes.Bytes(least, context)),
                     " of each worker: expected at least that, or a smaller --context"));
  }
  return budget.sizes.Counts(std::max(within, least), context);
}

absl::StatusOr<int32_t> ChooseContext(const PlannedModel& model, const Options& options,
                                      int32_t default_context) {
  const int32_t limit = static_cast<int32_t>(model.spec.context_length);
  if (options.context_length.has_value()) {
    if (*options.context_length <= limit) return *options.context_length;
    return absl::InvalidArgumentError(absl::StrCat("a context of ", *options.context_length,
                                                   " tokens is asked for, and the model has at "
                                                   "most ",
                                                   limit));
  }
  if (default_context > 0) return std::min(default_context, limit);
  const int32_t context = ContextWithinMemory(model, options);
  if (context < limit) {
    Say(absl::StrCat("context ", context, " of the model's ", limit, " tokens: ",
                     options.kv_memory_bytes.has_value()
                         ? "--kv-memory holds no more"
                         : "the KV cache may take half of the free memory"));
  }
  return context;
}

absl::Status CheckStageCount(const Options& options, const ModelSpec& spec) {
  const int stage_count = StageCount(options);
  if (stage_count <= spec.layer_count) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(stage_count, InProcess(options) ? " stages" : " workers",
                   " are asked for, and the model has ", spec.layer_count,
                   " layers: expected at most one for each"));
}

}  // namespace

absl::StatusOr<PlannedModel> PlanModel(const Options& options, int32_t default_context) {
  ASSIGN_OR_RETURN(GgufFile file, GgufFile::Read(options.model));
  ASSIGN_OR_RETURN(ModelSpec spec, CheckModel(file));
  PlannedModel model(std::move(file), std::move(spec));
  const ModelBytes bytes = CountModelBytes(model.spec);
  if (options.layers.empty()) {
    RETURN_IF_ERROR(CheckStageCount(options, model.spec));
    ASSIGN_OR_RETURN(model.plan, PlanByBytes(bytes, StageCount(options)));
  } else {
    ASSIGN_OR_RETURN(model.plan, PlanFromRanges(bytes, options.layers, StageCount(options)));
  }
  if (!InProcess(options) && options.workers.empty()) ShareHead(bytes, model.plan);
  model.workers = WorkerNames(options);
  ASSIGN_OR_RETURN(model.context_length, ChooseContext(model, options, default_context));
  ASSIGN_OR_RETURN(std::vector<int32_t> block_counts, ChooseKvBlocks(model, options));
  SetKvBlocks(std::move(block_counts), options, model);
  return model;
}

void SetKvBlocks(std::vector<int32_t> block_counts, const Options& options, PlannedModel& model) {
  model.kv_block_counts = std::move(block_counts);
  for (PlannedStage& stage : model.plan.stages) {
    stage.kv_bytes = KvBlockBytes(model.spec, stage.role.layers, options.numeric.kv_type);
    for (size_t i = 0; i < stage.kv_bytes.size(); ++i)
      stage.kv_bytes[i] *= model.kv_block_counts[i];
  }
}

int ThreadsPerWorker(const Options& options) {
  const int workers = std::max(1, options.local_worker_count);
  return options.thread_count.value_or(std::max(1, PhysicalCoreCount() / workers));
}

absl::StatusOr<std::unique_ptr<Deployment>> Deployment::Start(
    const Options& options, const PlannedModel& model,
    const std::function<void(double)>& on_progress) {
  const auto start = std::chrono::steady_clock::now();
  std::unique_ptr<Deployment> deployment(new Deployment(options, model));
  if (!options.trace_file.empty()) {
    // A file that cannot be written is told now, and not when there is something to lose.
    auto trace = std::make_unique<StepTrace>();
    RETURN_IF_ERROR(trace->Write(options.trace_file));
    deployment->trace_ = std::move(trace);
  }
  {
    LoadProgressDisplay display(model.workers, isatty(STDERR_FILENO));
    const auto progress = [&](int stage, uint64_t bytes_done, uint64_t bytes_total) {
      display.Update(stage, bytes_done, bytes_total);
      if (on_progress) on_progress(display.share());
    };
    RETURN_IF_ERROR(InProcess(options) ? deployment->StartStages(progress)
                                       : deployment->StartWorkers(progress));
  }
  const std::chrono::duration<double, std::milli> elapsed =
      std::chrono::steady_clock::now() - start;
  deployment->load_ms_ = elapsed.count();
  return deployment;
}

Deployment::~Deployment() {
  scheduler_ = nullptr;  // the last step is in the trace
  if (trace_ == nullptr) return;
  const absl::Status status = trace_->Write(options_.trace_file);
  Say(status.ok() ? absl::StrCat("trace written to ", options_.trace_file)
                  : absl::StrCat("warning: ", status.message()));
}

absl::Status Deployment::StartStages(const LoadProgress& progress) {
  std::vector<std::unique_ptr<Stage>> stages;
  for (const PlannedStage& planned : model_.plan.stages) {
    LocalStageOptions stage;
    stage.role = planned.role;
    stage.numeric = options_.numeric;
    stage.isa = options_.isa.value_or(BestIsa());
    stage.thread_count = ThreadsPerWorker(options_);
    stage.kv_block_counts = model_.kv_block_counts;
    const int index = static_cast<int>(stages.size());
    stage.progress = [&progress, index](uint64_t bytes_done, uint64_t bytes_total) {
      progress(index, bytes_done, bytes_total);
      return true;
    };
    ASSIGN_OR_RETURN(auto loaded, LocalStage::Load(model_.file, stage));
    stages.push_back(std::move(loaded));
  }
  pipeline_ = std::make_unique<LocalPipeline>(std::move(stages));
  return absl::OkStatus();
}

absl::Status Deployment::StartWorkers(const LoadProgress& progress) {
  std::vector<WorkerEndpoint> workers = options_.workers;
  if (workers.empty()) {
    LocalWorkersOptions local;
    local.count = options_.local_worker_count;
    local.model_path = options_.model;
    local.thread_count = ThreadsPerWorker(options_);
    if (options_.isa.has_value()) local.isa = IsaName(*options_.isa);
    ASSIGN_OR_RETURN(local_workers_, LocalWorkers::Start(local));
    workers = local_workers_->Endpoints();
  }
  ASSIGN_OR_RETURN(const ModelIdentity identity, model_.file.ComputeIdentity());
  RemotePipelineOptions remote;
  remote.kv_type = KvTypeName(options_.numeric.kv_type);
  remote.activations = options_.numeric.activations == ActivationMode::kF32 ? "f32" : "int8";
  remote.kv_block_counts = model_.kv_block_counts;
  remote.context_length = model_.context_length;
  remote.asked_context = options_.numeric.asked_context;
  ASSIGN_OR_RETURN(auto pipeline, RemotePipeline::Connect(std::move(workers), model_.plan, identity,
                                                          model_.spec, remote, progress));
  remote_ = pipeline.get();
  pipeline_ = std::move(pipeline);
  return absl::OkStatus();
}

Scheduler& Deployment::scheduler() {
  if (scheduler_ == nullptr) {
    SchedulerOptions options;
    options.cache_groups = model_.cache_groups;
    options.kv_block_counts = model_.kv_block_counts;
    options.context_length = model_.context_length;
    options.vocabulary_size = model_.spec.vocabulary_size;
    options.width = model_.spec.width;
    options.prompt_chunk = options_.prompt_chunk;
    options.weight_rows = WeightRows(model_.spec, options_.numeric);
    options.prompt_slack = PromptSlack(model_.spec, model_.plan);
    options.on_step = [this](const StepRecord& record) {
      if (trace_ != nullptr) trace_->Add(record);
      if (on_step_) on_step_(record);
    };
    scheduler_ = std::make_unique<Scheduler>(*pipeline_, std::move(options));
  }
  return *scheduler_;
}

void Deployment::Cancel() {
  if (remote_ != nullptr) remote_->Cancel();
}

}  // namespace baton
