// What is asked of the scheduler, and how it answers.
#ifndef BATON_COORDINATOR_SCHEDULER_REQUEST_H_
#define BATON_COORDINATOR_SCHEDULER_REQUEST_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "coordinator/scheduler/speculation.h"
#include "engine/sampling/sampler.h"

namespace baton {

struct Request {
  std::vector<int32_t> prompt;  // at least one token, at most the context

  int choice_count = 1;  // answers to the one prompt, which is evaluated once
  // Choice i draws with seed + i: choice 0 is what one choice alone would say.
  SamplingParams sampling;
  std::vector<std::pair<int32_t, float>> logit_bias;  // as in SampleSpec
  int32_t top_logprobs = -1;                          // as in SampleSpec
  bool return_logits = false;                         // with every token, the whole vocabulary's

  int32_t max_tokens = -1;  // of each choice; -1: until an end token or the context's end
  // Whether this token ends the answer, of which it is no part; null: none does (ignore_eos).
  // Called from the scheduler's threads.
  std::function<bool(int32_t id)> is_end;
  double timeout_ms = 0;  // from Submit() on, the queue included; 0: none

  bool cache_prompt = true;  // whether the prompt may be taken from the prefix cache
  Speculation speculation = Speculation::kAuto;

  // Where at least 0, log p(prompt[i] | what is before it) is wanted for all i > score_after.
  // Nothing is generated then: max_tokens must be 0.
  int32_t score_after = -1;
};

enum class FinishReason {
  kStop,       // an end token, or the sink said so
  kLength,     // max_tokens, or the context is full
  kCancelled,  // by Cancel(), or the scheduler was stopped
  kDeadline,   // timeout_ms passed
};

// What a request took.
struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;     // of the prompt, found in the prefix cache: not evaluated
  int64_t generated_tokens = 0;  // of all choices
  int64_t drafted_tokens = 0;    // proposed by speculation
  int64_t accepted_tokens = 0;   // of these, right

  double queue_ms = 0;        // from Submit() until the first step of it was composed
  double first_token_ms = 0;  // from Submit() to the first token of any choice
  double total_ms = 0;        // from Submit() to the end
  // Compute time of each stage over the steps that this request took part in after its first
  // token, and their number. Steps are shared: these are times of whole steps.
  std::vector<double> decode_stage_ms;
  int64_t decode_steps = 0;
};

// Where a request's answer goes. Called from a thread of the scheduler, for one request at a time
// in order; must not block. May call Scheduler::Submit() and Cancel(), and nothing else of it.
class RequestSink {
 public:
  virtual ~RequestSink() = default;
  // The next token of a choice; `logits` is empty unless asked for. False ends the choice here, of
  // which the token is still a part (kStop).
  virtual bool OnToken(int choice, const SampleResult& sample, absl::Span<const float> logits) = 0;
  // The next log-probabilities of the prompt's tokens, in order, where they were asked for.
  virtual void OnScores(absl::Span<const double> /*scores*/) {}
  virtual void OnChoiceDone(int /*choice*/, FinishReason /*reason*/) {}
  // Once, last. Not OK when the request failed (a worker was lost, a result was not finite):
  // choices that had not ended then never do. Cancelled and expired requests end with OK.
  virtual void OnDone(const absl::Status& status, const Usage& usage) = 0;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_REQUEST_H_
