#include "coordinator/scheduler/prompt_lookup.h"

#include <algorithm>

namespace baton {
namespace {

// Tokens that must be the same: fewer repeat by chance, more are rare.
constexpr int32_t kContextTokens = 3;
constexpr double kWeightOfNew = 0.2;
// A draft must promise this much more than a step without it.
constexpr double kGainWorthDrafting = 1.05;
// When drafts have not paid, a short one is tried after so many steps that had one to offer: the
// text may have changed. It costs at most two rows in this many steps.
constexpr int32_t kStepsBetweenTries = 48;
constexpr int32_t kTryLength = 2;

// Different contexts may meet: a draft is only a guess.
uint64_t KeyOf(const std::vector<int32_t>& tokens, int32_t end) {
  uint64_t key = 0;
  for (int32_t i = end - kContextTokens; i < end; ++i) {
    key = key * 0x9e3779b97f4a7c15u + static_cast<uint32_t>(tokens[i]) + 1;
  }
  return key;
}

}  // namespace

// The context at the very end is not indexed until something follows it.
void PromptLookup::Index(const std::vector<int32_t>& tokens) {
  const int32_t size = static_cast<int32_t>(tokens.size());
  for (int32_t end = std::max(indexed_, kContextTokens); end < size; ++end) {
    follows_[KeyOf(tokens, end)] = end;
  }
  indexed_ = std::max(indexed_, size);
}

// With p the chance that a drafted token is right, k of them give p + p^2 + ... + p^k tokens more,
// in a step of k rows more.
int32_t PromptLookup::LengthThatPays(const StepTimes& times, int32_t step_rows) const {
  if (mode_ == Speculation::kOn) return kMaxDraft;
  const int32_t rows = step_rows + 1;
  double best = rows / std::max(times.RoundTrip(rows), 1e-9) * kGainWorthDrafting;
  int32_t length = 0;
  double chance = 1;
  double tokens = rows;
  for (int32_t k = 1; k <= kMaxDraft; ++k) {
    chance *= acceptance_;
    tokens += chance;
    const double rate = tokens / std::max(times.RoundTrip(rows + k), 1e-9);
    if (rate <= best) continue;
    best = rate;
    length = k;
  }
  return length;
}

std::vector<int32_t> PromptLookup::Draft(const std::vector<int32_t>& tokens, int32_t most,
                                         const StepTimes& times, int32_t step_rows) {
  if (mode_ == Speculation::kOff) return {};
  Index(tokens);
  const int32_t size = static_cast<int32_t>(tokens.size());
  if (size < kContextTokens || most < 1) return {};
  const auto found = follows_.find(KeyOf(tokens, size));
  if (found == follows_.end()) return {};
  int32_t length = LengthThatPays(times, step_rows);
  if (length == 0 && ++idle_steps_ >= kStepsBetweenTries) length = kTryLength;
  if (length == 0) return {};
  idle_steps_ = 0;
  const auto begin = tokens.begin() + found->second;
  return {begin, begin + std::min({length, most, size - found->second})};
}

void PromptLookup::Learn(int32_t drafted, int32_t accepted) {
  // Tokens after the first wrong one say nothing.
  const int32_t judged = std::min(drafted, accepted + 1);
  for (int32_t i = 0; i < judged; ++i) {
    acceptance_ += ((i < accepted ? 1.0 : 0.0) - acceptance_) * kWeightOfNew;
  }
}

}  // namespace baton
