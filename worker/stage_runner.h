// One configured stage at work between its neighbours.
//
//   previous stage --steps--> inbox  [compute]  outbox --steps--> next stage
//                  <-credits-----------------'         <-credits--
//
// One thread computes; the process's event loop receives and sends, so that step k + 1 arrives and
// k - 1 leaves while k is computed, and no lock is held meanwhile. A step's credit is owed when the
// step has left: the whole stage holds `window` steps at most, wherever they are. Credits go back
// when half a window of them is owed, because a message of one wakes a process that has nothing
// else to do. The last stage sends results to the coordinator instead, once it has the outputs that
// a step was submitted with.
//
// Where the last two stages share the head, the last one asks the other for logits over an edge of
// their own (remote_partner.h). They are made between two products of the step that is computed
// there. The last stage goes on with its next step meanwhile, if it has one: another thread then
// waits for them, samples, and sends the result.
#ifndef BATON_WORKER_STAGE_RUNNER_H_
#define BATON_WORKER_STAGE_RUNNER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
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
#include "engine/base/closable_queue.h"
#include "engine/base/spin.h"
#include "engine/pipeline/stage.h"
#include "proto/convert.h"
#include "proto/event_loop.h"
#include "proto/frame_stream.h"
#include "proto/handshake.h"
#include "worker/remote_partner.h"

namespace baton {

enum class Edge { kChain, kResults, kHead };

// Held by shared pointers. Thread-safe.
class StageRunner : public std::enable_shared_from_this<StageRunner> {
 public:
  // What ended the stage; `neighbour` when it was a stream to another stage, which is most often
  // the consequence of a failure elsewhere.
  using FailureCallback = std::function<void(const absl::Status& failure, bool neighbour)>;

  // `loop` outlives it. `on_failure` is called once at most, from any thread, and must not call
  // back.
  StageRunner(StageConfig config, std::unique_ptr<Stage> stage, EventLoop& loop,
              FailureCallback on_failure);
  ~StageRunner();
  StageRunner(const StageRunner&) = delete;
  StageRunner& operator=(const StageRunner&) = delete;

  const StageConfig& config() const { return config_; }

  // Serves an edge until it ends; its hello has been checked.
  absl::Status Serve(Edge edge, std::shared_ptr<FrameStream> stream);

  // Asked between two steps. DeadlineExceeded when the present one takes longer than `timeout`.
  absl::StatusOr<StageStats> Stats(std::chrono::milliseconds timeout);

  // Breaks all edges, waits for the step that is being computed and frees the stage. Idempotent.
  void Stop();

 private:
  using StatsPromise = std::shared_ptr<std::promise<StageStats>>;
  using Job = std::variant<ChainStep, HeadRequest, StatsPromise>;

  // A step that the stage has computed, or is computing.
  struct Step {
    ChainStep chain;
    std::vector<OutputSpec> asked;  // of the last stage, and what it has made:
    std::vector<SpanOutput> outputs;
    std::function<absl::StatusOr<std::vector<SpanOutput>>()> finish;  // as in StageOutput
    std::chrono::steady_clock::time_point done;                       // when it was computed
  };

  absl::Status CheckEdge(Edge edge) const;
  std::shared_ptr<FrameStream>& Opened(Edge edge);
  absl::Status ServeChain(FrameStream& stream);
  absl::Status ServeResults(FrameStream& stream);
  absl::Status ServeHead(std::shared_ptr<FrameStream> stream);
  absl::Status ReceiveSteps(FrameStream& stream);
  absl::Status AcceptStep(ChainStep step);
  absl::Status ConnectNext();
  absl::Status OpenEdge(const std::shared_ptr<grpc::Channel>& channel, const char* method,
                        std::shared_ptr<ClientFrameStream>& edge, grpc::ByteBuffer* first);
  absl::Status StoreOutputs(StepOutputs outputs);
  std::optional<std::vector<OutputSpec>> TakeOutputs(uint64_t step);

  void ComputeThread();
  std::optional<Job> AwaitJob();
  void CreditThread();
  void HeadThread();
  void EndNextEdge(ClientFrameStream& stream, const absl::Status& wrong);
  absl::Status AcceptHeadRequest(HeadRequest request);
  void ShareBetweenProducts();
  void ShareLogits(const HeadRequest& request);
  std::unique_ptr<Step> Compute(ChainStep chain);
  void AddTiming(std::chrono::steady_clock::time_point start, std::chrono::nanoseconds idle_sharing,
                 Step& step);
  bool Deliver(std::unique_ptr<Step> step);
  int UnfinishedCount();
  bool FinishNow(Step& step);
  bool FinishHead(Step& step);
  void FinishThread();
  void Emit(std::unique_ptr<Step> step);
  void AddNextCredits(uint32_t steps);
  void SendOutbox();
  void Send(Step& step);
  void OweCredit();
  void ReturnCredits();
  void GiveCredits(uint32_t steps, std::function<void()> sent = nullptr);
  void Fail(const absl::Status& failure, bool neighbour);

  const StageConfig config_;
  std::unique_ptr<Stage> stage_;  // of the compute thread alone
  // Of the compute thread, too: when it last computed (its clock's epoch: never), how long it had
  // waited for that step, and how it waits.
  std::chrono::steady_clock::time_point last_done_;
  std::chrono::nanoseconds last_wait_ = std::chrono::nanoseconds::max();
  PoliteSpinner spinner_;
  // Of the same: spent on the other stage's head since a step last began or ended.
  std::chrono::nanoseconds sharing_{0};
  std::unique_ptr<RemotePartner> partner_;           // of a last stage that shares the head
  ClosableQueue<std::unique_ptr<Step>> unfinished_;  // wait for it while the next is computed
  const FailureCallback on_failure_;

  EventLoop& loop_;

  ClosableQueue<Job> inbox_;
  std::atomic<int> head_requests_{0};  // of the last stage, not answered yet

  std::mutex send_mutex_;  // of the next two, and of the order in which steps leave
  std::deque<std::unique_ptr<Step>> outbox_;  // waits for credits
  uint64_t next_credits_ = 0;                 // of the next stage

  // Of the loop's thread.
  uint64_t next_step_ = 0;
  int steps_inside_ = 0;
  uint32_t owed_credits_ = 0;
  bool is_returning_credits_ = false;

  std::mutex mutex_;  // of what follows
  std::condition_variable outputs_changed_;
  std::map<uint64_t, std::vector<OutputSpec>> outputs_;  // by step; last stage
  uint64_t next_outputs_ = 0;
  std::condition_variable unfinished_changed_;
  int unfinished_count_ = 0;  // in unfinished_, or about to leave
  bool stopped_ = false;
  bool failed_ = false;
  // Each is opened once: an edge that broke ends the stage.
  std::shared_ptr<FrameStream> chain_, results_, head_;  // by others
  std::shared_ptr<ClientFrameStream> next_, next_head_;  // by this stage
  std::vector<std::thread> threads_;
};

}  // namespace baton

#endif  // BATON_WORKER_STAGE_RUNNER_H_
