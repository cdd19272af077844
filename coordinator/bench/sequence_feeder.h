// Sequences whose text nobody reads, fed to a pipeline step by step without a scheduler.
#ifndef BATON_COORDINATOR_BENCH_SEQUENCE_FEEDER_H_
#define BATON_COORDINATOR_BENCH_SEQUENCE_FEEDER_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/scheduler/step_times.h"
#include "engine/model/cache_groups.h"
#include "engine/pipeline/batch.h"
#include "engine/pipeline/stage.h"

namespace baton {

struct SequenceFeederOptions {
  std::vector<CacheGroup> cache_groups = {{}};  // of the model
  int32_t vocabulary_size = 1;
  int32_t sequence_count = 1;
  int32_t position_count = 1;  // of each sequence
  int32_t prompt_chunk = 0;    // most rows of a step of prompts; 0: what the scheduler would take
  double weight_rows = kWeightRows;  // of the model: see StepTimes
  double prompt_slack = 0;           // of the plan: see PromptChunk
  // Asked before each step; false ends it with Cancelled. May be null.
  std::function<bool()> keep_going = nullptr;
};

// The only user of its pipeline. Positions may be fed again, which overwrites them. Not
// thread-safe.
class SequenceFeeder {
 public:
  // Blocks that the stages must have, in each cache group.
  static int64_t KvBlockCount(int32_t sequence_count, int32_t position_count);

  // `pipeline` outlives this.
  SequenceFeeder(Pipeline& pipeline, SequenceFeederOptions options);

  // Evaluates positions [first, first + count) of each of the first `sequences` sequences, as
  // prompts: in steps of at most prompt_chunk rows, as many in flight as keep all stages busy. The
  // last row of each sequence is sampled.
  absl::Status FeedPrompts(int32_t sequences, int32_t first, int32_t count);

  // `steps` steps of one row per sequence from position `first` on: each takes the tokens that the
  // last one gave.
  absl::Status Generate(int32_t sequences, int32_t first, int32_t steps);

  // Makes sure that each of the first `sequences` sequences holds tokens at [0, depth).
  absl::Status FillTo(int32_t sequences, int32_t depth);

 private:
  struct Step {
    std::vector<Span> spans;
    std::vector<OutputSpec> outputs;
  };

  void AddSpan(int32_t sequence, int32_t first, std::vector<int32_t> tokens, bool sample,
               Step& step) const;
  int32_t TokenAt(int32_t sequence, int32_t position) const;
  absl::Status Submit(Step step);
  absl::Status Await(std::vector<int32_t>* tokens);
  absl::Status Drain();
  void NoteFilled(int32_t sequences, int32_t first, int32_t end);

  Pipeline& pipeline_;
  const SequenceFeederOptions options_;
  uint64_t next_step_ = 0;
  size_t in_flight_ = 0;
  std::vector<int32_t> filled_;  // positions that hold tokens, from 0 on, by sequence
};

}  // namespace baton

#endif  // BATON_COORDINATOR_BENCH_SEQUENCE_FEEDER_H_
