// From logits to one token: a pure function.
//
// The order of the steps and their defaults are llama.cpp's: logit bias, penalties, top-k, top-p,
// min-p, temperature, draw. Randomness is counter-based: the number drawn is a function of (seed,
// counter) alone, so a replayed step draws the same one. Candidates are ordered by (logit
// descending, id ascending); all sums run in that order, with our own exp and log, in double.
#ifndef BATON_ENGINE_SAMPLING_SAMPLER_H_
#define BATON_ENGINE_SAMPLING_SAMPLER_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace baton {

struct SamplingParams {
  float temperature = 0.8f;     // <= 0: greedy
  int32_t top_k = 40;           // <= 0: off
  float top_p = 0.95f;          // 1: off
  float min_p = 0.05f;          // 0: off
  int32_t repeat_last_n = 64;   // tokens that penalties look back on; 0: off, -1: all
  float repeat_penalty = 1.0f;  // 1: off
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;
  uint64_t seed = 0;
};

// Refuses what has no meaning (NaN, top_p outside [0, 1], a penalty of 0 ..), naming the field by
// its flag and the value found.
absl::Status ValidateSamplingParams(const SamplingParams& params);

// Everything that one draw depends on beside the logits.
struct SampleSpec {
  SamplingParams params;
  uint64_t counter = 0;  // position of the token to be drawn, from the start of the sequence
  // The last params.repeat_last_n tokens of prompt and answer, oldest first; empty when the
  // penalties are off.
  std::vector<int32_t> history;
  std::vector<std::pair<int32_t, float>> logit_bias;  // added; -infinity forbids
  int32_t top_logprobs = -1;  // -1: no log-probabilities; N: those of the N likeliest tokens too
};

struct SampleResult {
  int32_t token = 0;
  // Natural logarithms of the softmax of the raw logits, before any of the steps above.
  float logprob = 0;
  std::vector<std::pair<int32_t, float>> top_logprobs;  // likeliest first
};

// A token that may be chosen.
struct Candidate {
  float logit;
  int32_t id;  // index of the logit
};

// The `count` likeliest, in order; fewer where logits are -infinity. No logit may be NaN.
std::vector<Candidate> LikeliestTokens(absl::Span<const float> logits, size_t count);

// Sample gives the same where, of any part of the vocabulary, all logits but so many, the
// likeliest, are replaced by -infinity. 0: it depends on all.
int32_t SampledCandidates(const SampleSpec& spec);

// Internal when a logit is NaN or +infinity, or when nothing is left to choose; InvalidArgument for
// ids outside the vocabulary in the spec.
absl::StatusOr<SampleResult> Sample(absl::Span<const float> logits, const SampleSpec& spec);

// log softmax(logits)[target], in double: sums of our own exp in ascending order of id.
double LogProbability(absl::Span<const float> logits, int32_t target);

// A uniform number in [0, 1) from (seed, counter): 53 bits of a published counter-based generator.
double UniformFromCounter(uint64_t seed, uint64_t counter);

}  // namespace baton

#endif  // BATON_ENGINE_SAMPLING_SAMPLER_H_
