#include "engine/sampling/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/deterministic_math.h"
#include "engine/base/status_macros.h"
#include "engine/sampling/philox.h"

namespace baton {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

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

// Vocabularies are scanned by so many logits at once, in loops without branches, which a compiler
// turns into vectors; only a block that has something in it is looked at by element.
constexpr size_t kScanBlock = 64;

// Calls visit(first id, logits) for every block in which wanted(logit) holds for some logit.
template <typename Wanted, typename Visit>
void VisitBlocks(absl::Span<const float> logits, const Wanted& wanted, const Visit& visit) {
  size_t id = 0;
  for (; id + kScanBlock <= logits.size(); id += kScanBlock) {
    const float* block = logits.data() + id;
    int32_t any = 0;
    for (size_t i = 0; i < kScanBlock; ++i) any |= wanted(block[i]) ? 1 : 0;
    if (any != 0) visit(id, logits.subspan(id, kScanBlock));
  }
  visit(id, logits.subspan(id));
}

// The first logit that is NaN or +infinity.
std::optional<size_t> FindNoNumber(absl::Span<const float> logits) {
  std::optional<size_t> first;
  // One comparison that both fail.
  const auto wrong = [](float logit) { return !(logit < kInfinity); };
  VisitBlocks(logits, wrong, [&](size_t id, absl::Span<const float> block) {
    const auto found = std::find_if(block.begin(), block.end(), wrong);
    if (found != block.end() && !first.has_value()) first = id + (found - block.begin());
  });
  return first;
}

absl::Status CheckLogits(absl::Span<const float> logits) {
  const std::optional<size_t> id = FindNoNumber(logits);
  if (!id.has_value()) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("the logit of token ", *id, " is ", logits[*id], "; expected a number"));
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

absl::Status CheckAdjusted(absl::Span<const float> logits) {
  const std::optional<size_t> id = FindNoNumber(logits);
  if (!id.has_value()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("bias and penalties make the logit of token ", *id,
                                                 " ", logits[*id], ", no number"));
}

// Leaves the `count` likeliest; where any go, the last that is left is the least likely.
void KeepLikeliest(size_t count, std::vector<Candidate>& candidates) {
  if (candidates.size() <= count) return;
  std::nth_element(candidates.begin(), candidates.begin() + (count - 1), candidates.end(),
                   Likelier);
  candidates.resize(count);
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

// -1 when bias forbids all.
int32_t Likeliest(absl::Span<const float> logits) {
  Candidate best{-kInfinity, -1};
  // The first of equals: the lowest id.
  const auto better = [&best](float logit) { return logit > best.logit; };
  VisitBlocks(logits, better, [&](size_t first, absl::Span<const float> block) {
    for (size_t i = 0; i < block.size(); ++i) {
      if (better(block[i])) best = {block[i], static_cast<int32_t>(first + i)};
    }
  });
  return best.id;
}

// No step after the penalties ever drops the likeliest token.
int32_t Choose(absl::Span<const float> logits, const SampleSpec& spec) {
  const SamplingParams& params = spec.params;
  if (params.temperature <= 0) return Likeliest(logits);
  const size_t all = logits.size();
  std::vector<Candidate> candidates =
      LikeliestTokens(logits, params.top_k > 0 ? std::min<size_t>(params.top_k, all) : all);
  if (candidates.empty()) return -1;
  KeepTopP(params.top_p, candidates);
  KeepMinP(params.min_p, candidates);
  return Draw(candidates, spec);
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
  if (top_count == 0) return;
  const size_t count = std::min<size_t>(top_count, logits.size());
  for (const Candidate& likely : LikeliestTokens(logits, count)) {
    result.top_logprobs.emplace_back(likely.id, logprob(likely.id));
  }
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

// Few are ever held: once `count` are known, only a logit above the least of them matters, since an
// equal one has the higher id.
std::vector<Candidate> LikeliestTokens(absl::Span<const float> logits, size_t count) {
  std::vector<Candidate> candidates;
  candidates.reserve(std::min(logits.size(), 2 * count + kScanBlock));
  float least = -kInfinity;
  const auto matters = [&least](float logit) { return logit > least; };
  VisitBlocks(logits, matters, [&](size_t first, absl::Span<const float> block) {
    for (size_t i = 0; i < block.size(); ++i) {
      if (matters(block[i])) candidates.push_back({block[i], static_cast<int32_t>(first + i)});
    }
    if (candidates.size() <= 2 * count) return;
    KeepLikeliest(count, candidates);
    least = candidates.back().logit;
  });
  KeepLikeliest(count, candidates);
  std::sort(candidates.begin(), candidates.end(), Likelier);
  return candidates;
}

int32_t SampledCandidates(const SampleSpec& spec) {
  const SamplingParams& params = spec.params;
  // Bias and penalties may lift a token above the likeliest, and probabilities are shares of all.
  if (!spec.logit_bias.empty() || HasPenalties(params) || spec.top_logprobs >= 0) return 0;
  if (params.temperature <= 0) return 1;
  return std::max(params.top_k, 0);
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
  result.token = Choose(scores, spec);
  if (result.token < 0) {
    return spec.logit_bias.empty()
               ? absl::InternalError("no token is left to choose from")
               : absl::InvalidArgumentError("the logit bias leaves no token to choose from");
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
