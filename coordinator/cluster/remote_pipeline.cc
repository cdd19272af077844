#include "coordinator/cluster/remote_pipeline.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/cluster/worker_link.h"
#include "engine/base/status_macros.h"
#include "proto/convert.h"
#include "proto/event_loop.h"
#include "proto/frame.h"
#include "proto/frame_stream.h"
#include "proto/handshake.h"
#include "proto/methods.h"
#include "proto/transport.h"

namespace baton {
namespace {

using Clock = std::chrono::steady_clock;

// The probe is step 0 of the wire; the caller's steps come after it.
constexpr uint64_t kProbeSteps = 1;

// An edge between the coordinator and a stage.
struct EdgeStream {
  std::shared_ptr<ClientFrameStream> stream;
  std::thread reader;
};

// Higher for every coordinator that starts later, wherever it runs, as far as clocks agree.
uint64_t NewEpoch() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class RemotePipelineImpl final : public RemotePipeline {
 public:
  RemotePipelineImpl(std::vector<WorkerEndpoint> workers, const PipelinePlan& plan,
                     const ModelIdentity& identity, const ModelSpec& spec,
                     const RemotePipelineOptions& options);
  ~RemotePipelineImpl() override;

  absl::Status Hello();
  absl::Status Load(const LoadProgress& progress);
  absl::Status Wire();
  absl::Status Probe();

  int stage_count() const override { return static_cast<int>(links_.size()); }
  absl::Status Submit(Batch batch, std::vector<OutputSpec> outputs) override;
  absl::StatusOr<StepResult> Next() override { return NextUntil(Clock::time_point::max()); }
  absl::StatusOr<std::vector<StageStats>> Stats() override;
  void Cancel() override { Fail(absl::CancelledError("cancelled"), /*indirect=*/false); }
  std::string WorkerName(int stage) const override { return links_[stage]->name(); }

 private:
  const StageConfig& first() const { return configs_.front(); }
  const StageConfig& last() const { return configs_.back(); }

  WorkerLink::Events LeaseEvents(int stage, const LoadProgress& progress);
  absl::Status AwaitLoaded();
  void ReadCredits();
  void ReadResults();
  absl::Status AcceptResult(const grpc::ByteBuffer& frame);
  absl::Status Send(Batch batch, std::vector<OutputSpec> outputs);
  bool TakeCredit(StepOutputs asked);
  absl::StatusOr<StepResult> NextUntil(Clock::time_point deadline);
  void Fail(const absl::Status& status, bool indirect);
  void CountWiredEdge();
  void FailEdge(const WorkerLink& link, const absl::Status& wrong, ClientFrameStream& stream);
  absl::Status Failure();
  absl::Status Lost();
  bool HasFailed();

  EventLoop loop_;
  std::vector<std::unique_ptr<WorkerLink>> links_;
  std::vector<StageConfig> configs_;
  EdgeStream chain_;
  EdgeStream results_;
  uint64_t next_step_ = 0;  // of Submit

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  bool closing_ = false;
  std::set<int> loaded_;  // stages
  bool loading_ = true;
  Clock::time_point last_load_event_ = Clock::now();
  int wired_edges_ = 0;
  uint64_t credits_ = 0;           // steps that the first stage has room for
  std::deque<StepOutputs> asked_;  // of the steps under way, oldest first
  std::deque<absl::StatusOr<StepResult>> arrived_;
  absl::Status failure_;
  bool failure_is_indirect_ = false;
  Clock::time_point first_failure_;
};

RemotePipelineImpl::RemotePipelineImpl(std::vector<WorkerEndpoint> workers,
                                       const PipelinePlan& plan, const ModelIdentity& identity,
                                       const ModelSpec& spec,
                                       const RemotePipelineOptions& options) {
  const uint64_t epoch = NewEpoch();
  for (size_t i = 0; i < workers.size(); ++i) {
    StageConfig config;
    config.versions = options.versions;
    config.epoch = epoch;
    config.model_identity = identity;
    config.stage_index = static_cast<int>(i);
    config.stage_count = static_cast<int>(workers.size());
    config.role = plan.stages[i].role;
    config.layer_count = spec.layer_count;
    config.width = spec.width;
    config.vocabulary_size = spec.vocabulary_size;
    config.kv_type = options.kv_type;
    config.activations = options.activations;
    config.kv_block_counts = options.kv_block_counts;
    config.context_length = options.context_length;
    config.asked_context = options.asked_context;
    config.window = options.window;
    links_.push_back(
        std::make_unique<WorkerLink>(std::move(workers[i]), config.role.layers, loop_));
    configs_.push_back(std::move(config));
  }
}

RemotePipelineImpl::~RemotePipelineImpl() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
    changed_.notify_all();
  }
  for (auto& link : links_) link->Release();
  for (EdgeStream* edge : {&chain_, &results_}) {
    if (edge->stream != nullptr) edge->stream->Cancel();
    if (edge->reader.joinable()) edge->reader.join();
  }
}

// The first failure counts, unless it is only the consequence of a later one.
void RemotePipelineImpl::Fail(const absl::Status& status, bool indirect) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closing_) return;
  if (failure_.ok()) first_failure_ = Clock::now();
  if (failure_.ok() || (failure_is_indirect_ && !indirect)) {
    failure_ = status;
    failure_is_indirect_ = indirect;
  }
  changed_.notify_all();
}

// Waits a moment for the cause, if only a consequence is known yet.
absl::Status RemotePipelineImpl::Failure() {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto start = failure_.ok() ? Clock::now() : first_failure_;
  changed_.wait_until(lock, start + kBlameGrace,
                      [this] { return !failure_.ok() && !failure_is_indirect_; });
  if (failure_.ok()) return absl::UnavailableError("the pipeline is broken");
  return failure_;
}

// Why no step will come back any more, whatever it was: Unavailable, or Cancelled.
absl::Status RemotePipelineImpl::Lost() {
  const absl::Status failure = Failure();
  return absl::IsCancelled(failure) ? failure : absl::UnavailableError(failure.message());
}

absl::Status RemotePipelineImpl::Hello() {
  std::vector<absl::Status> statuses(links_.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < links_.size(); ++i) {
    threads.emplace_back([&, i] { statuses[i] = links_[i]->Hello(configs_[i].versions); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  for (size_t i = 0; i + 1 < links_.size(); ++i) {
    configs_[i].next_address = links_[i + 1]->address_for_neighbours();
  }
  return absl::OkStatus();
}

WorkerLink::Events RemotePipelineImpl::LeaseEvents(int stage, const LoadProgress& progress) {
  WorkerLink::Events events;
  events.progress = [this, stage, progress](uint64_t done, uint64_t total) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!loading_) return;
    last_load_event_ = Clock::now();
    if (progress) progress(stage, std::min(done, total), total);
  };
  events.loaded = [this, stage] {
    std::lock_guard<std::mutex> lock(mutex_);
    last_load_event_ = Clock::now();
    loaded_.insert(stage);
    changed_.notify_all();
  };
  events.failed = [this](const absl::Status& status, bool indirect) { Fail(status, indirect); };
  return events;
}

absl::Status RemotePipelineImpl::Load(const LoadProgress& progress) {
  for (int i = 0; i < stage_count(); ++i) links_[i]->Lease(configs_[i], LeaseEvents(i, progress));
  const absl::Status status = AwaitLoaded();
  std::lock_guard<std::mutex> lock(mutex_);
  loading_ = false;
  return status;
}

absl::Status RemotePipelineImpl::AwaitLoaded() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (failure_.ok() && loaded_.size() < links_.size()) {
    if (changed_.wait_until(lock, last_load_event_ + kLoadSilence) == std::cv_status::no_timeout ||
        Clock::now() < last_load_event_ + kLoadSilence) {
      continue;
    }
    int stuck = 0;
    while (loaded_.count(stuck) > 0) ++stuck;
    return absl::DeadlineExceededError(absl::StrCat(
        links_[stuck]->name(), " has not loaded anything for ", kLoadSilence.count(), " seconds"));
  }
  if (failure_.ok()) return absl::OkStatus();
  lock.unlock();
  return Failure();
}

absl::Status RemotePipelineImpl::Wire() {
  results_.stream = ClientFrameStream::Open(links_.back()->channel(), kResultsMethod, loop_);
  chain_.stream = ClientFrameStream::Open(links_.front()->channel(), kChainMethod, loop_);
  results_.stream->Write(EncodeFrame(MakeEdgeHello(last(), last().stage_index)));
  chain_.stream->Write(EncodeFrame(MakeEdgeHello(first(), 0)));
  results_.reader = std::thread([this] { ReadResults(); });
  chain_.reader = std::thread([this] { ReadCredits(); });
  std::unique_lock<std::mutex> lock(mutex_);
  const bool done = changed_.wait_for(lock, kWiringTimeout,
                                      [this] { return !failure_.ok() || wired_edges_ == 2; });
  if (!done) {
    return absl::DeadlineExceededError(absl::StrCat("the chain of workers is not connected after ",
                                                    kWiringTimeout.count(), " seconds"));
  }
  if (failure_.ok()) return absl::OkStatus();
  lock.unlock();
  return Failure();
}

absl::Status RemotePipelineImpl::Probe() {
  Batch batch;
  batch.step = 0;
  // Block 0 of every cache group.
  std::vector<int32_t> table(first().kv_block_counts.size());
  batch.spans.push_back({.tokens = {0}, .first_position = 0, .block_table = std::move(table)});
  OutputSpec output;
  output.kind = OutputSpec::Kind::kSample;
  output.sample.params.temperature = 0;
  RETURN_IF_ERROR(Send(std::move(batch), {output}));
  return NextUntil(Clock::now() + kWiringTimeout).status();
}

absl::Status RemotePipelineImpl::Submit(Batch batch, std::vector<OutputSpec> outputs) {
  if (batch.step != next_step_) {
    return absl::InvalidArgumentError(
        absl::StrCat("step ", batch.step, " was submitted, expected step ", next_step_));
  }
  batch.step += kProbeSteps;
  RETURN_IF_ERROR(Send(std::move(batch), std::move(outputs)));
  ++next_step_;
  return absl::OkStatus();
}

absl::Status RemotePipelineImpl::Send(Batch batch, std::vector<OutputSpec> outputs) {
  RETURN_IF_ERROR(CheckBatch(batch, first()));
  RETURN_IF_ERROR(CheckOutputs(outputs, last()));
  if (batch.spans.size() != outputs.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(outputs.size(), " outputs for ", batch.spans.size(), " spans"));
  }
  batch.epoch = first().epoch;
  StepOutputs asked{.epoch = batch.epoch, .step = batch.step, .outputs = std::move(outputs)};
  const grpc::ByteBuffer outputs_frame = EncodeOutputs(asked);
  if (!TakeCredit(std::move(asked))) return Lost();
  ChainStep step;
  step.batch = std::move(batch);
  // The step first: the stages can begin before the last one has its outputs.
  if (chain_.stream->Write(EncodeStep(std::move(step))) && results_.stream->Write(outputs_frame)) {
    return absl::OkStatus();
  }
  return Lost();
}

// Waits until the step may be sent, and expects its result from then on; false when it never may.
bool RemotePipelineImpl::TakeCredit(StepOutputs asked) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return closing_ || !failure_.ok() || credits_ > 0; });
  if (closing_ || !failure_.ok()) return false;
  --credits_;
  asked_.push_back(std::move(asked));
  return true;
}

void RemotePipelineImpl::ReadCredits() {
  absl::Status wrong;
  bool wired = false;
  chain_.stream->ReadEach([&](const grpc::ByteBuffer& frame) {
    const absl::StatusOr<uint32_t> credits = DecodeCredits(frame);
    wrong = credits.status();
    if (!wrong.ok()) return false;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      credits_ += *credits;
      changed_.notify_all();
    }
    if (!std::exchange(wired, true)) CountWiredEdge();
    return true;
  });
  FailEdge(*links_.front(), wrong, *chain_.stream);
}

void RemotePipelineImpl::CountWiredEdge() {
  std::lock_guard<std::mutex> lock(mutex_);
  ++wired_edges_;
  changed_.notify_all();
}

// `wrong`: what the worker sent that it should not have; OK when the stream just ended.
void RemotePipelineImpl::FailEdge(const WorkerLink& link, const absl::Status& wrong,
                                  ClientFrameStream& stream) {
  // A worker that sends nonsense is not waited for.
  if (!wrong.ok()) stream.Cancel();
  const absl::Status status = FromGrpc(stream.Finish());
  if (!wrong.ok()) return Fail(link.Named(wrong), /*indirect=*/false);
  const absl::Status closed = absl::UnavailableError("closed the stream");
  Fail(link.Named(status.ok() ? closed : status), /*indirect=*/true);
}

void RemotePipelineImpl::ReadResults() {
  absl::Status wrong;
  bool wired = false;
  results_.stream->ReadEach([&](const grpc::ByteBuffer& frame) {
    if (std::exchange(wired, true)) {
      wrong = AcceptResult(frame);
    } else {
      CountWiredEdge();
    }
    return wrong.ok();
  });
  FailEdge(*links_.back(), wrong, *results_.stream);
}

absl::Status RemotePipelineImpl::AcceptResult(const grpc::ByteBuffer& frame) {
  StepOutputs asked;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (asked_.empty()) return absl::InvalidArgumentError("a result came that nobody asked for");
    asked = std::move(asked_.front());
    asked_.pop_front();
  }
  ASSIGN_OR_RETURN(StepReply reply, DecodeReply(frame, last(), asked));
  reply.result.step -= std::min(reply.result.step, kProbeSteps);
  absl::StatusOr<StepResult> result = std::move(reply.result);
  if (!reply.error.ok()) {
    // Unavailable is the word for a broken pipeline, and this one goes on.
    const bool lost = absl::IsUnavailable(reply.error) || absl::IsCancelled(reply.error);
    result =
        absl::Status(lost ? absl::StatusCode::kInternal : reply.error.code(),
                     absl::StrCat("stage ", reply.failed_stage, " on ",
                                  links_[reply.failed_stage]->name(), ": ", reply.error.message()));
  }
  std::lock_guard<std::mutex> lock(mutex_);
  arrived_.push_back(std::move(result));
  changed_.notify_all();
  return absl::OkStatus();
}

absl::StatusOr<StepResult> RemotePipelineImpl::NextUntil(Clock::time_point deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto ready = [this] { return !failure_.ok() || !arrived_.empty(); };
  if (deadline == Clock::time_point::max()) {
    changed_.wait(lock, ready);
  } else if (!changed_.wait_until(lock, deadline, ready)) {
    return absl::DeadlineExceededError("the workers have not answered a step in time");
  }
  if (arrived_.empty()) {
    lock.unlock();
    return Lost();
  }
  absl::StatusOr<StepResult> result = std::move(arrived_.front());
  arrived_.pop_front();
  return result;
}

absl::StatusOr<std::vector<StageStats>> RemotePipelineImpl::Stats() {
  std::vector<StageStats> stats;
  for (auto& link : links_) {
    const absl::StatusOr<StageStats> stage = link->Stats(first().epoch);
    // Where the pipeline is lost, what a worker says of itself now does not matter.
    if (HasFailed()) return Lost();
    RETURN_IF_ERROR(stage.status());
    stats.push_back(*stage);
  }
  return stats;
}

bool RemotePipelineImpl::HasFailed() {
  std::lock_guard<std::mutex> lock(mutex_);
  return !failure_.ok();
}

}  // namespace

absl::StatusOr<std::unique_ptr<RemotePipeline>> RemotePipeline::Connect(
    std::vector<WorkerEndpoint> workers, const PipelinePlan& plan, const ModelIdentity& identity,
    const ModelSpec& spec, const RemotePipelineOptions& options, const LoadProgress& progress) {
  CalmTransportLibraries();
  RETURN_IF_ERROR(CheckNamedOnce(workers));
  if (workers.empty() || workers.size() != plan.stages.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(workers.size(), " workers for ", plan.stages.size(), " stages"));
  }
  auto pipeline =
      std::make_unique<RemotePipelineImpl>(std::move(workers), plan, identity, spec, options);
  RETURN_IF_ERROR(pipeline->Hello());
  RETURN_IF_ERROR(pipeline->Load(progress));
  RETURN_IF_ERROR(pipeline->Wire());
  RETURN_IF_ERROR(pipeline->Probe());
  return std::unique_ptr<RemotePipeline>(std::move(pipeline));
}

}  // namespace baton
