// One configured stage at work between its neighbours.
//
//   previous stage --steps--> [receive]  inbox  [compute]  outbox  [send] --steps--> next stage
//                  <-credits------------------------------------'  <-credits-- [credit]
//
// Each name in brackets is a thread, so that step k + 1 arrives and k - 1 leaves while k is
// computed, and no lock is held meanwhile. Where no step k + 1 waits, [compute] sends a
// small one by itself: a step that comes to an idle stage changes threads once less. A step's
// credit is owed when the step has left: the whole stage holds `window` steps at most, wherever
// they are. Credits go back when half a window of them is owed, because a message of one wakes
// threads that have nothing else to do. The last stage sends results to the coordinator instead,
// once it has the outputs that a step was submitted with.
#ifndef BATON_WORKER_STAGE_RUNNER_H_
#define BATON_WORKER_STAGE_RUNNER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/pipeline/stage.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/server_context.h"
#include "proto/convert.h"
#include "proto/credits.h"
#include "proto/frame_stream.h"
#include "proto/handshake.h"
#include "worker/closable_queue.h"

namespace baton {

// Thread-safe.
class StageRunner {
 public:
  // What ended the stage; `neighbour` when it was a stream to another stage, which is most often
  // the consequence of a failure elsewhere.
  using FailureCallback = std::function<void(const absl::Status& failure, bool neighbour)>;

  // `on_failure` is called once at most, from any thread, and must not call back.
  StageRunner(StageConfig config, std::unique_ptr<Stage> stage, FailureCallback on_failure);
  ~StageRunner();
  StageRunner(const StageRunner&) = delete;
  StageRunner& operator=(const StageRunner&) = delete;

  const StageConfig& config() const { return config_; }

  // Serves an edge until it ends. The calling thread receives; the hello has been checked.
  absl::Status Serve(Edge edge, grpc::ServerContext& context, FrameServerStream& stream);

  // Asked between two steps. DeadlineExceeded when the present one takes longer than `timeout`.
  absl::StatusOr<StageStats> Stats(std::chrono::milliseconds timeout);

  // Breaks all edges, waits for the step that is being computed and frees the stage. Idempotent.
  void Stop();

 private:
  using StatsPromise = std::shared_ptr<std::promise<StageStats>>;
  using Job = std::variant<ChainStep, StatsPromise>;

  struct Finished {
    ChainStep step;
    std::vector<SpanOutput> outputs;             // of the last stage
    std::chrono::steady_clock::time_point done;  // when it was computed

    // Of hidden rows and logits, which make a message large.
    size_t PayloadBytes() const {
      size_t floats = step.batch.hidden.size();
      for (const SpanOutput& output : outputs) floats += output.logits.size();
      return floats * sizeof(float);
    }
  };

  // The streams that others open to this stage.
  struct Incoming {
    grpc::ServerContext* context = nullptr;  // while it is open
    bool was_opened = false;                 // an edge that broke ends the stage: never again
    SharedWriter<FrameServerStream> writer;
  };

  absl::Status ServeChain(FrameServerStream& stream);
  absl::Status ServeResults(FrameServerStream& stream);
  absl::Status ReceiveSteps(FrameServerStream& stream);
  absl::Status AcceptStep(ChainStep step);
  absl::Status ConnectNext();
  absl::Status StoreOutputs(StepOutputs outputs);
  std::optional<std::vector<OutputSpec>> TakeOutputs(uint64_t step);

  void ComputeThread();
  void SendThread();
  void CreditThread();
  std::optional<Finished> Compute(ChainStep step);
  bool Send(Finished finished);
  bool SendOn(Finished finished);
  void OweCredit();
  void GiveCredits(uint32_t steps);
  void Fail(const absl::Status& failure, bool neighbour);

  const StageConfig config_;
  std::unique_ptr<Stage> stage_;  // of the compute thread alone
  // When it last computed; its clock's epoch: never. Of the compute thread, too.
  std::chrono::steady_clock::time_point last_done_;
  const FailureCallback on_failure_;

  ClosableQueue<Job> inbox_;
  ClosableQueue<Finished> outbox_;
  Credits next_credits_;
  std::atomic<uint32_t> owed_credits_{0};
  std::atomic<int> steps_inside_{0};
  std::atomic<int> unsent_{0};  // of them: computed

  Incoming chain_;
  Incoming results_;
  uint64_t next_step_ = 0;  // of the chain's receiving thread

  std::mutex mutex_;  // of what follows
  std::condition_variable outputs_changed_;
  std::map<uint64_t, std::vector<OutputSpec>> outputs_;  // by step; last stage
  uint64_t next_outputs_ = 0;
  bool stopped_ = false;
  bool failed_ = false;
  std::shared_ptr<grpc::Channel> next_channel_;
  std::unique_ptr<grpc::ClientContext> next_context_;
  std::unique_ptr<FrameClientStream> next_stream_;
  std::vector<std::thread> threads_;
};

}  // namespace baton

#endif  // BATON_WORKER_STAGE_RUNNER_H_
