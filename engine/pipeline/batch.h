// One step of the pipeline: rows of one or more sequences, as every stage sees them.
//
// Plain values: no pointers to anything outside, no state of a request. What is here crosses the
// wire (proto/ has the conversion and the bounds).
#ifndef BATON_ENGINE_PIPELINE_BATCH_H_
#define BATON_ENGINE_PIPELINE_BATCH_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/sampling/sampler.h"

namespace baton {

// Rows of one step, over all spans: scratch and messages are sized by them.
inline constexpr int64_t kMaxBatchRows = 8192;

// A run of consecutive rows of one sequence.
struct Span {
  std::vector<int32_t> tokens;  // one per row; the stage that owns the embedding reads them
  int32_t first_position = 0;   // of the first row
  // Ids of KV blocks, the same on every stage: for each cache group of the model in turn, those
  // that the rows see or write, in order of position (CacheGroup::BlocksOf). A group has ids of its
  // own.
  std::vector<int32_t> block_table;
  int32_t row_count() const { return static_cast<int32_t>(tokens.size()); }
};

// A span that went wrong at some stage, and why. The others of its batch go on.
struct SpanFailure {
  int32_t span = 0;  // index in Batch::spans
  absl::Status status;
};

struct Batch {
  uint64_t epoch = 0;  // which plan; a stale one is refused
  uint64_t step = 0;   // consecutive within an epoch, from 0; a gap is an error
  std::vector<Span> spans;
  // Hidden states of all rows, spans in order: [row_count][width]. Empty at the stage that owns
  // the embedding.
  std::vector<float> hidden;
  std::vector<SpanFailure> failures;  // at earlier stages; the rows of these spans are zeros
  int64_t row_count() const {
    int64_t count = 0;
    for (const Span& span : spans) count += span.row_count();
    return count;
  }
};

// What the last stage is to make of one span. Travels from the coordinator to the last stage
// directly and is joined with the batch by (epoch, step); one per span, in order.
struct OutputSpec {
  enum class Kind { kNone, kSample, kScore };
  Kind kind = Kind::kNone;
  // kSample: a token from the logits of each of the span's last `sampled_rows` rows. `sample` is of
  // the first of them; each next row's counter is one higher, and its history one token longer, by
  // the token that the row reads.
  SampleSpec sample;
  int32_t sampled_rows = 1;
  bool return_logits = false;
  // kScore: log-probability of targets[i] under the logits of row first_scored_row + i.
  int32_t first_scored_row = 0;
  std::vector<int32_t> targets;
};

struct SpanOutput {
  absl::Status status;                // Internal where a stage's result was not finite
  std::vector<SampleResult> samples;  // kSample: one per sampled row
  std::vector<float> logits;          // [sampled_rows][vocabulary], where asked for
  std::vector<double> scores;         // kScore: one log-probability per target
};

// How one stage spent its time on a step: by its own clock, intervals alone.
struct StageTiming {
  double compute_ms = 0;
  // From the end of the step before to the start of this one: nothing was there to compute.
  double input_wait_ms = 0;
  // After the computation, until the stage behind could take the result.
  double send_wait_ms = 0;
};

// What comes out of the last stage for a step.
struct StepResult {
  uint64_t epoch = 0;
  uint64_t step = 0;
  std::vector<SpanOutput> outputs;  // one per span
  std::vector<StageTiming> stages;  // one per stage, first to last
};

}  // namespace baton

#endif  // BATON_ENGINE_PIPELINE_BATCH_H_
