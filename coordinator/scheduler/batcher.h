// Which requests get into the next step, and what becomes of its result: all that a scheduler
// decides, without a thread or a clock. Scheduler drives it in real time, Simulator in virtual.
//
// Requests wait, in order of arrival, until there are KV blocks for their prompt. From then on each
// of their sequences is in one of two states: it has tokens to be fed, or its next token is on its
// way. A step takes the answers that are ready, those that waited longest first, and fills up with
// chunks of prompts; how many of each, Pacing says. Where an answer needs a block and none is left,
// the youngest sequence gives up its own and starts again later: same tokens, same bits.
#ifndef BATON_COORDINATOR_SCHEDULER_BATCHER_H_
#define BATON_COORDINATOR_SCHEDULER_BATCHER_H_

#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "coordinator/scheduler/kv_cache.h"
#include "coordinator/scheduler/pacing.h"
#include "coordinator/scheduler/request.h"
#include "coordinator/scheduler/scheduler.h"
#include "coordinator/scheduler/sequence.h"
#include "coordinator/scheduler/step_times.h"
#include "engine/pipeline/batch.h"

namespace baton {

// Not thread-safe. All times are of one clock, in milliseconds, and never go back.
class Batcher {
 public:
  struct Step {
    Batch batch;
    std::vector<OutputSpec> outputs;
  };

  // `parallel_stages`: those of the pipeline that work at the same time.
  Batcher(const SchedulerOptions& options, int parallel_stages);
  ~Batcher();

  // REQUIRES: the request is valid, and ids ascend. `arrived_ms`: when it was submitted.
  void Add(RequestId id, Request request, std::shared_ptr<RequestSink> sink, double arrived_ms);
  void Cancel(RequestId id, double now_ms);
  void CancelAll(double now_ms);
  // Ends every request that there is with this error; nothing is in flight any more.
  void FailAll(const absl::Status& error, double now_ms);

  // The next step to be submitted, if there is one to be submitted now.
  std::optional<Step> Compose(double now_ms);
  // The step that was composed last could not be submitted: its requests fail, its number is used
  // again.
  void Withdraw(const absl::Status& error, double now_ms);
  // What became of the oldest step in flight. A record of it for options.on_step.
  void Finish(const absl::StatusOr<StepResult>& result, double now_ms);

  // When the next request runs out of time, if nothing happens before.
  double next_deadline_ms() const { return next_deadline_ms_; }
  // Ends the requests whose time has passed.
  void Expire(double now_ms);

  bool idle() const { return requests_.empty(); }
  size_t steps_in_flight() const { return in_flight_.size(); }
  size_t queued_requests() const;
  const SchedulerStats& stats(double now_ms);

 private:
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  // A request, and its sequences that have not ended.
  struct Running {
    Request request;
    std::shared_ptr<RequestSink> sink;
    Usage usage;
    double arrived_ms = 0;
    double deadline_ms = kNever;
    std::vector<std::unique_ptr<Sequence>> sequences;  // by choice; null: not forked yet, or ended
    std::vector<bool> ended;                           // by choice
    bool started = false;                              // its first step was composed
    uint64_t counted_step = ~uint64_t{0};              // the last one in usage.decode_steps
  };
  // What a step has of a sequence.
  struct InFlightSpan {
    SequenceId sequence;
    int32_t life = 0;
    int32_t end = 0;             // first position after its rows, those of the draft left out
    bool is_last = false;        // it feeds the last token that was known
    bool decodes = false;        // of a running answer
    std::vector<int32_t> draft;  // tokens behind it that were guessed
  };
  struct InFlightStep {
    std::vector<InFlightSpan> spans;
    StepRecord record;
    bool alone = false;
  };
  class StepRoom;

  bool AdmitFirst();
  bool GiveBlocks(Sequence& sequence);
  void Fork(RequestId id, Running& running);
  bool MakeRoom(Sequence& sequence);
  void Preempt(Sequence& sequence);

  const Pace& ChoosePace();
  int32_t NextGroupRows(const Pace& pace) const;
  void TakeAnswers(const Pace& pace, StepRoom& room);
  bool TakeAnswer(Sequence& sequence, const Pace& pace, StepRoom& room);
  std::vector<int32_t> DraftFor(Sequence& sequence, const Pace& pace, int32_t rows_taken);
  void TakePrompts(const Pace& pace, StepRoom& room);
  std::vector<Sequence*> PromptsInOrder();
  bool Take(Sequence& sequence, int32_t count, std::vector<int32_t> draft, StepRoom& room);

  void CountStep(const InFlightStep& step, const StepResult& result);
  void FinishSpan(const InFlightSpan& span, const SpanOutput& output, const StepResult& result,
                  double now_ms);
  void AcceptSamples(Running& running, Sequence& sequence, const InFlightSpan& span,
                     const SpanOutput& output, double now_ms);
  std::optional<FinishReason> AcceptToken(Running& running, Sequence& sequence,
                                          const SampleResult& sample,
                                          absl::Span<const float> logits, double now_ms);
  void EndSequence(SequenceId id, FinishReason reason, double now_ms);
  void EndChoices(RequestId id, FinishReason reason, double now_ms);
  void EndRequest(RequestId id, const absl::Status& status, double now_ms);
  void Forget(std::unique_ptr<Sequence> sequence);

  const SchedulerOptions options_;
  const int32_t most_rows_;  // of a step
  KvCache cache_;
  StepTimes times_;
  const Pacing pacing_;
  uint64_t next_step_ = 0;
  std::map<RequestId, Running> requests_;
  std::map<SequenceId, Sequence*> waiting_;  // for KV blocks
  std::map<SequenceId, Sequence*> running_;  // have them
  std::map<SequenceId, Sequence*> prompts_;  // of these, do not answer yet
  std::deque<Sequence*> ready_;              // running answers whose next token may be asked for
  std::deque<InFlightStep> in_flight_;       // oldest first
  InFlightStep next_;                        // that is being composed
  bool prompt_step_sent_ = false;            // one without answers, since a step came back
  double owed_rows_ = 0;                     // part of a row that prompts have not had
  Pace pace_;
  int32_t paced_answers_ = 0;  // that pace_ was chosen for
  uint64_t pace_until_ = 0;    // step before which it holds, while answers are as many
  double next_deadline_ms_ = kNever;
  SchedulerStats stats_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_BATCHER_H_
