// Serves many requests on one pipeline, with every stage busy while there is work.
//
// Continuous batching: each step takes whatever is ready, rows of running answers and chunks of new
// prompts, of any number of requests. Several steps are in flight, so that each stage has one.
#ifndef BATON_COORDINATOR_SCHEDULER_SCHEDULER_H_
#define BATON_COORDINATOR_SCHEDULER_SCHEDULER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/scheduler/request.h"
#include "coordinator/scheduler/step_times.h"
#include "engine/model/cache_groups.h"
#include "engine/pipeline/stage.h"

namespace baton {

using RequestId = uint64_t;  // never used twice by one scheduler

// Requests that may wait for KV blocks unless told otherwise. One that waits costs its connection,
// a few kilobytes, and four bytes for each token of its prompt: a gigabyte in all if every prompt
// had 128,000 tokens. Half of the connections that the server takes, so that others still reach it;
// beyond them a client had better be told to come back than made to wait.
inline constexpr int kDefaultQueueLimit = 2048;

// Steps that a pipeline takes at once unless told otherwise: covers links of 50 ms around three
// stages of 5 ms, with room.
inline constexpr int kDefaultStepsInFlight = 64;

// A step that has come back, for traces. Times in milliseconds since the scheduler was made.
struct StepRecord {
  uint64_t step = 0;
  int32_t decode_rows = 0;  // of running answers, drafts included
  int32_t prompt_rows = 0;
  double submitted_ms = 0;
  double returned_ms = 0;
  std::vector<StageTiming> stages;  // first to last
};

struct SchedulerOptions {
  std::vector<CacheGroup> cache_groups = {{}};  // of the model
  std::vector<int32_t> kv_block_counts;         // of every stage, by cache group; at least one
  int32_t context_length = 0;        // positions of one sequence; cut to what the blocks can hold
  int32_t vocabulary_size = 0;       // bounds token ids
  int64_t width = 0;                 // of a hidden row, in floats: bounds rows; 0: does not
  int32_t prompt_chunk = 0;          // most prompt rows in one step; 0: chosen by what steps take
  double weight_rows = kWeightRows;  // of the model: see StepTimes
  double prompt_slack = 0;           // of the plan: see PromptChunk
  int queue_limit = kDefaultQueueLimit;
  int most_steps_in_flight = kDefaultStepsInFlight;  // as many as needed, up to this
  // Called with every step that came back, from the scheduler's thread, before sinks hear of it;
  // must not block. May be null.
  std::function<void(const StepRecord&)> on_step;
};

// For /metrics and people: the present, and counters since the start.
struct SchedulerStats {
  int64_t queued_requests = 0;   // wait for KV blocks, those preempted too
  int64_t running_requests = 0;  // have KV blocks
  int64_t steps_in_flight = 0;
  int32_t kv_blocks = 0;         // of all cache groups
  int32_t kv_blocks_free = 0;    // hold nothing
  int32_t kv_blocks_cached = 0;  // hold a prefix that no request uses now; free when needed

  uint64_t requests_submitted = 0;
  uint64_t requests_refused = 0;  // the queue was full
  uint64_t requests_finished = 0;
  uint64_t preemptions = 0;
  uint64_t prompt_tokens = 0;  // evaluated, again after a preemption
  uint64_t cached_tokens = 0;  // found in the prefix cache instead
  uint64_t generated_tokens = 0;
  uint64_t drafted_tokens = 0;
  uint64_t accepted_tokens = 0;
  uint64_t steps = 0;
  uint64_t rows = 0;  // of all steps
  double uptime_ms = 0;
  std::vector<double> stage_busy_ms;  // compute time, by stage
};

// Thread-safe. The only user of its pipeline.
class Scheduler {
 public:
  // `pipeline` outlives this.
  Scheduler(Pipeline& pipeline, SchedulerOptions options);
  // As Stop().
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Queues a request; `sink` is held until its OnDone(). ResourceExhausted when the queue is full;
  // InvalidArgument for a prompt that is empty or longer than the context (with both numbers), a
  // token outside the vocabulary, sampling parameters that have no meaning; Unavailable once
  // drained or stopped; what broke the pipeline, once it is.
  absl::StatusOr<RequestId> Submit(Request request, std::shared_ptr<RequestSink> sink);

  // Ends a request as soon as may be; its sink is told. Nothing happens where it has ended.
  void Cancel(RequestId id);

  // Takes no more requests, and waits until those it has are done.
  void Drain();
  // Takes no more requests, cancels those it has, and waits for the steps in flight.
  void Stop();

  SchedulerStats Stats() const;
  // Positions of one sequence: a prompt may be as long.
  int32_t context_length() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_SCHEDULER_H_
