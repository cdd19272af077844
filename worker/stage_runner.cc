#include "worker/stage_runner.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "proto/frame.h"
#include "proto/methods.h"
#include "proto/transport.h"

namespace baton {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

// Between an answer's tokens a stage waits while the others compute. Where that takes longer than
// this, the time to wake up is no longer felt. An answer's end costs so much of one core.
constexpr std::chrono::milliseconds kAwake{20};

// Steps that may wait for the partner while the next one is computed. Each has two requests.
constexpr int kMostUnfinished = 1;
static_assert(2 * (kMostUnfinished + 1) <= kMaxHeadRequests);

// Whose fault it is when a message breaks a rule.
absl::Status SentBy(absl::string_view sender, const absl::Status& wrong) {
  return absl::Status(wrong.code(),
                      absl::StrCat(sender, " sent a wrong message: ", wrong.message()));
}

}  // namespace

StageRunner::StageRunner(StageConfig config, std::unique_ptr<Stage> stage, EventLoop& loop,
                         FailureCallback on_failure)
    : config_(std::move(config)),
      stage_(std::move(stage)),
      on_failure_(std::move(on_failure)),
      loop_(loop) {
  if (config_.is_last() && config_.role.shared_logits > 0) {
    partner_ = std::make_unique<RemotePartner>(config_);
    stage_->SetHeadPartner(partner_.get());
  } else if (config_.role.shared_logits > 0) {
    stage_->SetBetweenProducts([this] { ShareBetweenProducts(); });
  }
  threads_.emplace_back([this] { ComputeThread(); });
  if (partner_ != nullptr) threads_.emplace_back([this] { FinishThread(); });
}

StageRunner::~StageRunner() { Stop(); }

void StageRunner::Stop() {
  std::vector<std::thread> threads;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    for (const auto& stream : {chain_, results_, head_}) {
      if (stream != nullptr) stream->Cancel();
    }
    for (const auto& stream : {next_, next_head_}) {
      if (stream != nullptr) stream->Cancel();
    }
    threads.swap(threads_);
    outputs_changed_.notify_all();
    unfinished_changed_.notify_all();
  }
  if (partner_ != nullptr) partner_->Stop();
  inbox_.Close();
  unfinished_.Close();
  for (std::thread& thread : threads) thread.join();
  if (!threads.empty()) stage_.reset();
}

void StageRunner::Fail(const absl::Status& failure, bool neighbour) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_ || failed_) return;
    failed_ = true;
  }
  on_failure_(failure, neighbour);
}

std::shared_ptr<FrameStream>& StageRunner::Opened(Edge edge) {
  return edge == Edge::kChain ? chain_ : edge == Edge::kResults ? results_ : head_;
}

absl::Status StageRunner::CheckEdge(Edge edge) const {
  if (edge == Edge::kResults && !config_.is_last()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "stage ", config_.stage_index, " of ", config_.stage_count, " has no results to give"));
  }
  if (edge == Edge::kHead && partner_ == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("stage ", config_.stage_index, " of ",
                                                      config_.stage_count, " shares no head"));
  }
  return absl::OkStatus();
}

absl::Status StageRunner::Serve(Edge edge, std::shared_ptr<FrameStream> stream) {
  RETURN_IF_ERROR(CheckEdge(edge));
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return absl::AbortedError("this stage has ended");
    if (Opened(edge) != nullptr) {
      return absl::AlreadyExistsError(
          absl::StrCat("stage ", config_.stage_index, " was connected already"));
    }
    Opened(edge) = stream;
  }
  if (edge == Edge::kHead) return ServeHead(std::move(stream));
  return edge == Edge::kChain ? ServeChain(*stream) : ServeResults(*stream);
}

absl::Status StageRunner::ServeChain(FrameStream& stream) {
  if (!config_.is_last()) {
    const absl::Status connected = ConnectNext();
    if (!connected.ok()) {
      Fail(connected, /*neighbour=*/true);
      return connected;
    }
  }
  GiveCredits(config_.window);
  const absl::Status status = ReceiveSteps(stream);
  Fail(status, /*neighbour=*/absl::IsUnavailable(status));
  return status;
}

// Dials, and waits until everything behind is wired too: its first credits say so.
absl::Status StageRunner::ConnectNext() {
  const std::shared_ptr<grpc::Channel> channel = Dial(config_.next_address);
  grpc::ByteBuffer frame;
  if (config_.role.shared_logits > 0) {
    RETURN_IF_ERROR(OpenEdge(channel, kHeadMethod, next_head_, &frame));
  }
  RETURN_IF_ERROR(OpenEdge(channel, kChainMethod, next_, &frame));
  ASSIGN_OR_RETURN(const uint32_t credits, DecodeCredits(frame));
  AddNextCredits(credits);
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopped_) return absl::AbortedError("this stage has ended");
  threads_.emplace_back([this] { CreditThread(); });
  if (next_head_ != nullptr) threads_.emplace_back([this] { HeadThread(); });
  return absl::OkStatus();
}

// `first`: what the next stage says when it has accepted.
absl::Status StageRunner::OpenEdge(const std::shared_ptr<grpc::Channel>& channel,
                                   const char* method, std::shared_ptr<ClientFrameStream>& edge,
                                   grpc::ByteBuffer* first) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return absl::AbortedError("this stage has ended");
    edge = ClientFrameStream::Open(channel, method, loop_);
  }
  if (edge->Write(EncodeFrame(MakeEdgeHello(config_, config_.stage_index + 1))) &&
      edge->Read(first)) {
    return absl::OkStatus();
  }
  const absl::Status reason = FromGrpc(edge->Finish());
  return absl::UnavailableError(absl::StrCat("stage ", config_.stage_index,
                                             " cannot connect to stage ", config_.stage_index + 1,
                                             " at ", config_.next_address, ": ", reason.message()));
}

absl::Status StageRunner::ReceiveSteps(FrameStream& stream) {
  absl::Status wrong;
  stream.ReadEach([&](const grpc::ByteBuffer& frame) {
    absl::StatusOr<ChainStep> step = DecodeStep(frame, config_);
    if (step.ok()) {
      wrong = AcceptStep(*std::move(step));
    } else {
      wrong = SentBy(config_.stage_index == 0 ? std::string("the coordinator")
                                              : absl::StrCat("stage ", config_.stage_index - 1),
                     step.status());
    }
    return wrong.ok();
  });
  RETURN_IF_ERROR(wrong);
  return absl::UnavailableError(
      absl::StrCat("stage ", config_.stage_index, " lost ",
                   config_.stage_index == 0
                       ? std::string("the coordinator")
                       : absl::StrCat("the stage before it, stage ", config_.stage_index - 1)));
}

absl::Status StageRunner::AcceptStep(ChainStep step) {
  const Batch& batch = step.batch;
  if (batch.epoch != config_.epoch) {
    return absl::AbortedError(absl::StrCat("stage ", config_.stage_index,
                                           " was sent a step of epoch ", batch.epoch,
                                           ", it is of epoch ", config_.epoch));
  }
  if (batch.step > next_step_) {
    return absl::FailedPreconditionError(absl::StrCat("stage ", config_.stage_index,
                                                      " was sent step ", batch.step,
                                                      ", expected step ", next_step_));
  }
  if (batch.step < next_step_) {
    OweCredit();
    return absl::OkStatus();
  }
  if (steps_inside_++ >= config_.window) {
    return absl::ResourceExhaustedError(absl::StrCat("stage ", config_.stage_index,
                                                     " was sent more than its ", config_.window,
                                                     " steps at once"));
  }
  ++next_step_;
  inbox_.Push(std::move(step));
  return absl::OkStatus();
}

void StageRunner::ComputeThread() {
  while (std::optional<Job> job = AwaitJob()) {
    if (StatsPromise* promise = std::get_if<StatsPromise>(&*job)) {
      (*promise)->set_value(stage_->Stats());
      continue;
    }
    if (const HeadRequest* request = std::get_if<HeadRequest>(&*job)) {
      ShareLogits(*request);
      continue;
    }
    std::unique_ptr<Step> step = Compute(std::get<ChainStep>(*std::move(job)));
    if (step == nullptr || !Deliver(std::move(step))) return;
  }
}

// Where the last step came soon, so may the next: the core stays awake for it.
std::optional<StageRunner::Job> StageRunner::AwaitJob() {
  if (last_wait_ < kAwake) spinner_.Wait(kAwake, [this] { return inbox_.WillPop(); });
  return inbox_.Pop();
}

// Nothing when the stage was stopped, or has lost the one that it shares the head with.
std::unique_ptr<StageRunner::Step> StageRunner::Compute(ChainStep chain) {
  auto step = std::make_unique<Step>();
  step->chain = std::move(chain);
  if (config_.is_last()) {
    std::optional<std::vector<OutputSpec>> taken = TakeOutputs(step->chain.batch.step);
    if (!taken.has_value()) return nullptr;
    step->asked = *std::move(taken);
  }
  const Clock::time_point start = Clock::now();
  const std::chrono::nanoseconds idle_sharing = std::exchange(sharing_, {});
  if (step->chain.error.ok()) {
    absl::StatusOr<StageOutput> output = stage_->Forward(step->chain.batch, step->asked);
    if (!output.ok()) {
      if (partner_ != nullptr && partner_->has_ended()) return nullptr;
      step->chain.error = output.status();
      step->chain.failed_stage = config_.stage_index;
    } else {
      step->outputs = std::move(output->outputs);
      step->finish = std::move(output->finish);
      step->chain.batch.hidden = std::move(output->hidden);
      step->chain.batch.failures = std::move(output->failures);
    }
  }
  AddTiming(start, idle_sharing, *step);
  return step;
}

// What a stage computes of another one's head counts as that step's, at the stage that computes it.
void StageRunner::AddTiming(Clock::time_point start, std::chrono::nanoseconds idle_sharing,
                            Step& step) {
  step.done = Clock::now();
  const Clock::time_point idle_since = std::exchange(last_done_, step.done);
  StageTiming timing;
  timing.compute_ms = Milliseconds(step.done - start - std::exchange(sharing_, {})).count();
  if (idle_since != Clock::time_point()) {
    last_wait_ = start - idle_since;
    timing.input_wait_ms = Milliseconds(last_wait_ - idle_sharing).count();
  }
  if (partner_ != nullptr) {
    const RemotePartner::Times times = partner_->TakeTimes();
    timing.compute_ms -= times.wait_ms;
    timing.input_wait_ms += times.wait_ms;
    step.chain.stages.back().compute_ms += times.compute_ms;
  }
  step.chain.stages.push_back(timing);
}

// Steps leave in order. What a step lacks of its head is waited for here only as long as there is
// nothing else to compute. False when the stage has ended.
bool StageRunner::Deliver(std::unique_ptr<Step> step) {
  if (partner_ == nullptr) {
    Emit(std::move(step));
    return true;
  }
  const bool is_next = UnfinishedCount() == 0;
  if (is_next && step->finish && !inbox_.WillPop()) {
    spinner_.Wait(kAwake, [this] { return partner_->is_ready() || inbox_.WillPop(); });
    if (partner_->is_ready() && !FinishNow(*step)) return false;
  }
  if (is_next && !step->finish) {
    Emit(std::move(step));
    return true;
  }
  std::unique_lock<std::mutex> lock(mutex_);
  ++unfinished_count_;
  unfinished_.Push(std::move(step));
  unfinished_changed_.wait(lock,
                           [this] { return stopped_ || unfinished_count_ <= kMostUnfinished; });
  return !stopped_;
}

int StageRunner::UnfinishedCount() {
  std::lock_guard<std::mutex> lock(mutex_);
  return unfinished_count_;
}

// On the thread that computes, whose time it takes.
bool StageRunner::FinishNow(Step& step) {
  const Clock::time_point start = Clock::now();
  if (!FinishHead(step)) return false;
  StageTiming& timing = step.chain.stages.back();
  timing.input_wait_ms += Milliseconds(start - step.done).count();
  last_done_ = Clock::now();
  timing.compute_ms += Milliseconds(last_done_ - start).count();
  return true;
}

// False when the partner is lost.
bool StageRunner::FinishHead(Step& step) {
  absl::StatusOr<std::vector<SpanOutput>> outputs = std::exchange(step.finish, nullptr)();
  if (!outputs.ok()) return false;
  step.outputs = *std::move(outputs);
  step.chain.stages.rbegin()[1].compute_ms += partner_->TakeTimes().compute_ms;
  return true;
}

void StageRunner::FinishThread() {
  while (std::optional<std::unique_ptr<Step>> step = unfinished_.Pop()) {
    if ((*step)->finish && !FinishHead(**step)) return;
    Emit(*std::move(step));
    std::lock_guard<std::mutex> lock(mutex_);
    --unfinished_count_;
    unfinished_changed_.notify_all();
  }
}

void StageRunner::ShareBetweenProducts() {
  if (head_requests_ == 0) return;
  const std::optional<Job> job =
      inbox_.PopIf([](const Job& job) { return std::holds_alternative<HeadRequest>(job); });
  if (job.has_value()) ShareLogits(std::get<HeadRequest>(*job));
}

void StageRunner::ShareLogits(const HeadRequest& request) {
  const Clock::time_point start = Clock::now();
  absl::StatusOr<HeadShare> share = stage_->SharedLogits(request);
  if (!share.ok()) return Fail(share.status(), /*neighbour=*/false);
  const Clock::duration elapsed = Clock::now() - start;
  sharing_ += elapsed;
  // Before the reply, after which the next request may come.
  --head_requests_;
  next_head_->Write(
      EncodeHeadReply({.compute_ms = Milliseconds(elapsed).count(), .share = *std::move(share)}));
}

void StageRunner::Emit(std::unique_ptr<Step> step) {
  std::lock_guard<std::mutex> lock(send_mutex_);
  outbox_.push_back(std::move(step));
  SendOutbox();
}

void StageRunner::AddNextCredits(uint32_t steps) {
  std::lock_guard<std::mutex> lock(send_mutex_);
  next_credits_ += steps;
  SendOutbox();
}

// As far as credits reach. REQUIRES: send_mutex_.
void StageRunner::SendOutbox() {
  while (!outbox_.empty() && (config_.is_last() || next_credits_ > 0)) {
    if (!config_.is_last()) --next_credits_;
    Send(*outbox_.front());
    outbox_.pop_front();
  }
}

// Where the edge is broken, who reads from it says why.
void StageRunner::Send(Step& step) {
  const auto sent = [weak = weak_from_this()] {
    const std::shared_ptr<StageRunner> runner = weak.lock();
    if (runner == nullptr) return;
    --runner->steps_inside_;
    runner->OweCredit();
  };
  ChainStep& chain = step.chain;
  if (!config_.is_last()) {
    chain.stages.back().send_wait_ms = Milliseconds(Clock::now() - step.done).count();
    next_->Write(EncodeStep(std::move(chain)), sent);
    return;
  }
  StepReply reply;
  reply.result.epoch = chain.batch.epoch;
  reply.result.step = chain.batch.step;
  reply.result.outputs = std::move(step.outputs);
  reply.result.stages = std::move(chain.stages);
  reply.error = chain.error;
  reply.failed_stage = chain.failed_stage;
  results_->Write(EncodeReply(std::move(reply)), sent);
}

void StageRunner::OweCredit() {
  ++owed_credits_;
  ReturnCredits();
}

// One message at a time: a peer that reads none, but repeats a step, must not fill memory with
// them.
void StageRunner::ReturnCredits() {
  const uint32_t worth_a_message = std::max(1, config_.window / 2);
  if (is_returning_credits_ || owed_credits_ < worth_a_message) return;
  is_returning_credits_ = true;
  GiveCredits(std::exchange(owed_credits_, 0), [weak = weak_from_this()] {
    const std::shared_ptr<StageRunner> runner = weak.lock();
    if (runner == nullptr) return;
    runner->is_returning_credits_ = false;
    runner->ReturnCredits();
  });
}

void StageRunner::GiveCredits(uint32_t steps, std::function<void()> sent) {
  chain_->Write(EncodeCredits(steps), std::move(sent));
}

void StageRunner::CreditThread() {
  absl::Status wrong;
  next_->ReadEach([&](const grpc::ByteBuffer& frame) {
    const absl::StatusOr<uint32_t> credits = DecodeCredits(frame);
    wrong = credits.status();
    if (wrong.ok()) AddNextCredits(*credits);
    return wrong.ok();
  });
  EndNextEdge(*next_, wrong);
}

void StageRunner::HeadThread() {
  absl::Status wrong;
  next_head_->ReadEach([&](const grpc::ByteBuffer& frame) {
    absl::StatusOr<HeadRequest> request = DecodeHeadRequest(frame, config_);
    wrong = request.ok() ? AcceptHeadRequest(*std::move(request)) : request.status();
    return wrong.ok();
  });
  EndNextEdge(*next_head_, wrong);
}

absl::Status StageRunner::AcceptHeadRequest(HeadRequest request) {
  if (head_requests_.fetch_add(1) >= kMaxHeadRequests) {
    return absl::ResourceExhaustedError(absl::StrCat("stage ", config_.stage_index,
                                                     " was asked for logits more than ",
                                                     kMaxHeadRequests, " times at once"));
  }
  inbox_.Push(std::move(request));
  return absl::OkStatus();
}

// `wrong`: what the next stage sent that it should not have; OK when the stream just ended.
void StageRunner::EndNextEdge(ClientFrameStream& stream, const absl::Status& wrong) {
  if (!wrong.ok()) {
    return Fail(SentBy(absl::StrCat("stage ", config_.stage_index + 1), wrong),
                /*neighbour=*/false);
  }
  const absl::Status reason = FromGrpc(stream.Finish());
  Fail(absl::UnavailableError(absl::StrCat("stage ", config_.stage_index, " lost stage ",
                                           config_.stage_index + 1, " at ", config_.next_address,
                                           ": ", reason.message())),
       /*neighbour=*/true);
}

absl::Status StageRunner::ServeHead(std::shared_ptr<FrameStream> stream) {
  absl::Status status = partner_->Serve(std::move(stream));
  if (!absl::IsUnavailable(status)) {
    status = SentBy(absl::StrCat("stage ", config_.stage_index - 1), status);
  }
  Fail(status, /*neighbour=*/absl::IsUnavailable(status));
  return status;
}

absl::Status StageRunner::ServeResults(FrameStream& stream) {
  stream.Write(EncodeFrame(wire::Credit()));
  absl::Status wrong;
  stream.ReadEach([&](const grpc::ByteBuffer& frame) {
    absl::StatusOr<StepOutputs> outputs = DecodeOutputs(frame, config_);
    wrong = outputs.ok() ? StoreOutputs(*std::move(outputs)) : outputs.status();
    return wrong.ok();
  });
  const absl::Status lost = absl::UnavailableError("the last stage lost the coordinator");
  const absl::Status status = wrong.ok() ? lost : SentBy("the coordinator", wrong);
  Fail(status, /*neighbour=*/wrong.ok());
  return status;
}

absl::Status StageRunner::StoreOutputs(StepOutputs outputs) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (outputs.epoch != config_.epoch) {
    return absl::AbortedError(absl::StrCat("the last stage was sent outputs of epoch ",
                                           outputs.epoch, ", it is of epoch ", config_.epoch));
  }
  if (outputs.step < next_outputs_) return absl::OkStatus();
  if (outputs.step > next_outputs_) {
    return absl::FailedPreconditionError(
        absl::StrCat("the last stage was sent the outputs of step ", outputs.step,
                     ", expected step ", next_outputs_));
  }
  // As many steps as can be under way in the whole chain.
  const size_t limit = static_cast<size_t>(config_.window) * config_.stage_count;
  if (outputs_.size() >= limit) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the last stage was sent outputs of more than ", limit, " steps at once"));
  }
  ++next_outputs_;
  outputs_.emplace(outputs.step, std::move(outputs.outputs));
  outputs_changed_.notify_all();
  return absl::OkStatus();
}

std::optional<std::vector<OutputSpec>> StageRunner::TakeOutputs(uint64_t step) {
  std::unique_lock<std::mutex> lock(mutex_);
  outputs_changed_.wait(lock, [&] { return stopped_ || outputs_.count(step) > 0; });
  if (stopped_) return std::nullopt;
  auto node = outputs_.extract(step);
  return std::move(node.mapped());
}

absl::StatusOr<StageStats> StageRunner::Stats(std::chrono::milliseconds timeout) {
  auto promise = std::make_shared<std::promise<StageStats>>();
  std::future<StageStats> stats = promise->get_future();
  inbox_.Push(promise);
  promise.reset();
  if (stats.wait_for(timeout) != std::future_status::ready) {
    return absl::DeadlineExceededError(absl::StrCat(
        "stage ", config_.stage_index, " computes for longer than ", timeout.count(), " ms"));
  }
  try {
    return stats.get();
  } catch (const std::future_error&) {
    return absl::AbortedError("this stage has ended");
  }
}

}  // namespace baton
