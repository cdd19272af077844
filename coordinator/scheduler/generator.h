// From a prompt to an answer: prompt, then token after token.
#ifndef BATON_COORDINATOR_SCHEDULER_GENERATOR_H_
#define BATON_COORDINATOR_SCHEDULER_GENERATOR_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/scheduler/sequence.h"
#include "coordinator/scheduler/step_queue.h"
#include "engine/sampling/sampler.h"

namespace baton {

struct GenerationRequest {
  std::vector<int32_t> prompt;  // at least one token
  SamplingParams sampling;
  std::vector<std::pair<int32_t, float>> logit_bias;
  int32_t top_logprobs = -1;  // as in SampleSpec
  bool return_logits = false;
  int32_t max_tokens = -1;     // -1: until the end token or the context's end
  int32_t context_length = 0;  // positions that may be evaluated
  // Whether this token ends the answer, of which it is no part; null: none does.
  std::function<bool(int32_t id)> is_end;
  // Called with each token of the answer as it comes; false ends it there. May be null.
  std::function<bool(const SpanOutput& output)> on_token;
};

enum class FinishReason { kStop, kLength };

struct GenerationTimings {
  int64_t prompt_tokens = 0;     // that were evaluated: not those found in the KV cache
  double prompt_ms = 0;          // until the first token was there
  int64_t generated_tokens = 0;  // the first one is prompt's, so rates count one less
  double generated_ms = 0;       // from the first token to the last
  StageTotals decode_stages;     // of all steps but the prompt's
};

struct Generation {
  std::vector<int32_t> ids;
  FinishReason finish_reason = FinishReason::kLength;
  GenerationTimings timings;
};

// Runs a request in `sequence`, which takes up whatever of the prompt it already holds.
// InvalidArgument when the prompt is longer than the context.
absl::StatusOr<Generation> Generate(const GenerationRequest& request, StepQueue& steps,
                                    Sequence& sequence);

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_GENERATOR_H_
