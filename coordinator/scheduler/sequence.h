// One sequence of tokens in the pipeline.
#ifndef BATON_COORDINATOR_SCHEDULER_SEQUENCE_H_
#define BATON_COORDINATOR_SCHEDULER_SEQUENCE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/scheduler/kv_block_allocator.h"
#include "coordinator/scheduler/step_queue.h"
#include "engine/pipeline/batch.h"

namespace baton {

// Rows of one step of a prompt: with one stage as many as keep its kernels busy, with several so
// few that the stages soon work side by side.
inline constexpr int32_t kMaxPromptChunk = 512;
inline constexpr int32_t kMinPromptChunk = 64;
int32_t DefaultPromptChunk(int stage_count, int64_t token_count);

// Owns the KV blocks of the tokens that were evaluated. Not thread-safe.
class Sequence {
 public:
  // Rows [begin, end) of the sequence: what is wanted of them, and what came of it.
  using OutputOf = std::function<OutputSpec(int32_t begin, int32_t end)>;
  using Done = std::function<void(SpanOutput output)>;

  // `prompt_chunk`: most rows of a step; 0: DefaultPromptChunk(). The others outlive this.
  Sequence(StepQueue& steps, KvBlockAllocator& blocks, int32_t prompt_chunk);
  // REQUIRES: nothing of it is in flight.
  ~Sequence();
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  // Makes `tokens` the sequence, and returns the output of its last row. What it has in common with
  // the tokens before, from the start, is not computed again, except for the last row. The rest
  // goes in chunks that follow each other through the stages.
  absl::StatusOr<SpanOutput> Evaluate(const std::vector<int32_t>& tokens, const OutputSpec& output);

  // Starts the evaluation of all of `tokens` in place of the sequence; `done` is called for each
  // chunk in order, by this or a later call of the StepQueue. For scoring: several sequences of
  // tokens may follow each other in the same blocks.
  absl::Status Submit(const std::vector<int32_t>& tokens, const OutputOf& output_of,
                      const Done& done);

  // Tokens that the last Evaluate did not have to compute.
  int32_t reused_count() const { return reused_count_; }

 private:
  absl::Status SubmitFrom(int32_t begin, const std::vector<int32_t>& tokens,
                          const OutputOf& output_of, const Done& done);

  StepQueue& steps_;
  KvBlockAllocator& blocks_;
  const int32_t prompt_chunk_;
  std::vector<int32_t> block_table_;
  std::vector<int32_t> evaluated_;  // whose K and V the blocks hold
  int32_t reused_count_ = 0;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_SEQUENCE_H_
