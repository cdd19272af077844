#include "engine/sampling/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/deterministic_math.h"
#include "engine/base/status_macros.h"
#include "engine/sampling/philox.h"

namespace baton {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A token that may be drawn.
struct Candidate {
  float logit;
  int32_t id;
};

// The one order of this file: likeliest first, the lower id among equals.
bool Likelier(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

absl::Status OutOfRange(absl::string_view flag, double found, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat(flag, " is ", found, "; expected ", expected));
}

absl::Status CheckId(absl::string_view what, int32_t id, size_t vocabulary_size) {
  if (id >= 0 && static_cast<size_t>(id) < vocabulary_size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " names token ", id,
                                                 "; the vocabulary has ids 0 to ",
                                                 static_cast<int64_t>(vocabulary_size) - 1));
}

absl::Status CheckLogits(absl::Span<const float> logits) {
  for (size_t id = 0; id < logits.size(); ++id) {
    // One comparison that NaN and +infinity both fail.
    if (!(logits[id] < kInfinity)) {
      return absl::InternalError(
          absl::StrCat("the logit of token ", id, " is ", logits[id], "; expected a number"));
    }
  }
  return absl::OkStatus();
}

absl::Status AddBias(const SampleSpec& spec, std::vector<float>& logits) {
  for (const auto& [id, bias] : spec.logit_bias) {
    RETURN_IF_ERROR(CheckId("--logit-bias", id, logits.size()));
    if (!(bias < kInfinity)) return OutOfRange("--logit-bias", bias, "a number or -inf");
    logits[id] += bias;
  }
  return absl::OkStatus();
}

bool HasPenalties(const SamplingParams& params) {
  return params.repeat_last_n != 0 &&
         (params.repeat_penalty != 1.0f || params.frequency_penalty != 0.0f ||
          params.presence_penalty != 0.0f);
}

absl::Status Penalize(const SampleSpec& spec, std::vector<float>& logits) {
  const SamplingParams& params = spec.params;
  if (!HasPenalties(params)) return absl::OkStatus();
  size_t window = spec.history.size();
  if (params.repeat_last_n > 0) window = std::min<size_t>(window, params.repeat_last_n);
  std::unordered_map<int32_t, int32_t> counts;
  for (size_t i = spec.history.size() - window; i < spec.history.size(); ++i) {
    RETURN_IF_ERROR(CheckId("the penalties' history", spec.history[i], logits.size()));
    ++counts[spec.history[i]];
  }
  for (const auto& [id, count] : counts) {
    float& logit = logits[id];
    // Dividing a negative logit would make the token likelier.
    logit = logit <= 0 ? logit * params.repeat_penalty : logit / params.repeat_penalty;
    logit -= static_cast<float>(count) * params.frequency_penalty + params.presence_penalty;
  }
  return absl::OkStatus();
}

absl::Status CheckAdjusted(const std::vector<float>& logits) {
  for (size_t id = 0; id < logits.size(); ++id) {
    if (logits[id] < kInfinity) continue;
    return absl::InvalidArgumentError(absl::StrCat("bias and penalties make the logit of token ",
                                                   id, " ", logits[id], ", no number"));
  }
  return absl::OkStatus();
}

// The top-k likeliest, in order; all in order where top-k is off. What bias forbids is left out.
absl::StatusOr<std::vector<Candidate>> OrderedCandidates(absl::Span<const float> logits,
                                                         int32_t top_k) {
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (size_t id = 0; id < logits.size(); ++id) {
    if (logits[id] == -kInfinity) continue;
    candidates.push_back({logits[id], static_cast<int32_t>(id)});
  }
  if (candidates.empty()) return absl::InternalError("no token is left to choose from");
  if (top_k > 0 && static_cast<size_t>(top_k) < candidates.size()) {
    std::nth_element(candidates.begin(), candidates.begin() + top_k, candidates.end(), Likelier);
    candidates.resize(top_k);
  }
  std::sort(candidates.begin(), candidates.end(), Likelier);
  return candidates;
}

// e^((logit - best logit) / temperature): probabilities up to a common factor.
std::vector<double> Weights(const std::vector<Candidate>& candidates, double temperature) {
  const double best = candidates.front().logit;
  std::vector<double> weights(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    weights[i] = Exp((candidates[i].logit - best) / temperature);
  }
  return weights;
}

// The index at which the running sum first reaches `share` of the whole.
size_t IndexOfShare(const std::vector<double>& weights, double share) {
  const double target = share * std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    sum += weights[i];
    if (sum >= target) return i;
  }
  return weights.size() - 1;
}

void KeepTopP(float top_p, std::vector<Candidate>& candidates) {
  if (top_p >= 1.0f) return;
  candidates.resize(IndexOfShare(Weights(candidates, 1.0), top_p) + 1);
}

void KeepMinP(float min_p, std::vector<Candidate>& candidates) {
  if (min_p <= 0.0f) return;
  const double least = candidates.front().logit + Log(min_p);
  while (candidates.back().logit < least) candidates.pop_back();
}

int32_t Draw(const std::vector<Candidate>& candidates, const SampleSpec& spec) {
  const std::vector<double> weights = Weights(candidates, spec.params.temperature);
  const double target = UniformFromCounter(spec.params.seed, spec.counter) *
                        std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    sum += weights[i];
    if (sum > target) return candidates[i].id;
  }
  return candidates.back().id;
}

absl::StatusOr<int32_t> Likeliest(absl::Span<const float> logits) {
  // The first of equals: the lowest id.
  const auto best = std::max_element(logits.begin(), logits.end());
  if (best == logits.end() || *best == -kInfinity) {
    return absl::InternalError("no token is left to choose from");
  }
  return static_cast<int32_t>(best - logits.begin());
}

double LogSumExp(absl::Span<const float> logits) {
  const double best = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += Exp(logit - best);
  return best + Log(sum);
}

void FillLogprobs(absl::Span<const float> logits, int32_t top_count, SampleResult& result) {
  const double log_sum = LogSumExp(logits);
  const auto logprob = [&](int32_t id) { return static_cast<float>(logits[id] - log_sum); };
  result.logprob = logprob(result.token);
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const size_t count = std::min<size_t>(top_count, ids.size());
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(), [&](int32_t a, int32_t b) {
    return Likelier({logits[a], a}, {logits[b], b});
  });
  for (size_t i = 0; i < count; ++i) result.top_logprobs.emplace_back(ids[i], logprob(ids[i]));
}

}  // namespace

absl::Status ValidateSamplingParams(const SamplingParams& params) {
  const auto in_unit = [](float value) { return value >= 0.0f && value <= 1.0f; };
  if (!std::isfinite(params.temperature)) {
    return OutOfRange("--temp", params.temperature, "a number, 0 for greedy");
  }
  if (!in_unit(params.top_p)) return OutOfRange("--top-p", params.top_p, "0 to 1");
  if (!in_unit(params.min_p)) return OutOfRange("--min-p", params.min_p, "0 to 1");
  if (params.repeat_last_n < -1) {
    return OutOfRange("--repeat-last-n", params.repeat_last_n, "a count, or -1 for all");
  }
  if (!std::isfinite(params.repeat_penalty) || params.repeat_penalty <= 0) {
    return OutOfRange("--repeat-penalty", params.repeat_penalty, "a number above 0, 1 for none");
  }
  if (!std::isfinite(params.frequency_penalty)) {
    return OutOfRange("--frequency-penalty", params.frequency_penalty, "a number, 0 for none");
  }
  if (!std::isfinite(params.presence_penalty)) {
    return OutOfRange("--presence-penalty", params.presence_penalty, "a number, 0 for none");
  }
  return absl::OkStatus();
}

absl::StatusOr<SampleResult> Sample(absl::Span<const float> logits, const SampleSpec& spec) {
  RETURN_IF_ERROR(ValidateSamplingParams(spec.params));
  RETURN_IF_ERROR(CheckLogits(logits));
  std::vector<float> adjusted;
  absl::Span<const float> scores = logits;
  if (!spec.logit_bias.empty() || HasPenalties(spec.params)) {
    adjusted.assign(logits.begin(), logits.end());
    RETURN_IF_ERROR(AddBias(spec, adjusted));
    RETURN_IF_ERROR(Penalize(spec, adjusted));
    RETURN_IF_ERROR(CheckAdjusted(adjusted));
    scores = adjusted;
  }
  SampleResult result;
  if (spec.params.temperature <= 0) {
    // No step after the penalties ever drops the likeliest token.
    ASSIGN_OR_RETURN(result.token, Likeliest(scores));
  } else {
    ASSIGN_OR_RETURN(std::vector<Candidate> candidates,
                     OrderedCandidates(scores, spec.params.top_k));
    KeepTopP(spec.params.top_p, candidates);
    KeepMinP(spec.params.min_p, candidates);
    result.token = Draw(candidates, spec);
  }
  if (spec.top_logprobs >= 0) FillLogprobs(logits, spec.top_logprobs, result);
  return result;
}

double UniformFromCounter(uint64_t seed, uint64_t counter) {
  const auto low = [](uint64_t value) { return static_cast<uint32_t>(value); };
  const auto high = [](uint64_t value) { return static_cast<uint32_t>(value >> 32); };
  const std::array<uint32_t, 4> words =
      Philox4x32({low(counter), high(counter), 0, 0}, {low(seed), high(seed)});
  const uint64_t bits = (static_cast<uint64_t>(words[1]) << 32) | words[0];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

double LogProbability(absl::Span<const float> logits, int32_t target) {
  CHECK(target >= 0 && static_cast<size_t>(target) < logits.size());
  return logits[target] - LogSumExp(logits);
}

}  // namespace baton
