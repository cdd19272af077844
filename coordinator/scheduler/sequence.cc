#include "coordinator/scheduler/sequence.h"

#include <algorithm>

namespace baton {
namespace {

// The end of `tokens` that penalties look back on.
std::vector<int32_t> History(const SamplingParams& params, const std::vector<int32_t>& tokens) {
  const bool wanted = params.repeat_penalty != 1.0f || params.frequency_penalty != 0.0f ||
                      params.presence_penalty != 0.0f;
  if (!wanted || params.repeat_last_n == 0) return {};
  size_t count = tokens.size();
  if (params.repeat_last_n > 0) count = std::min<size_t>(count, params.repeat_last_n);
  return {tokens.end() - static_cast<int64_t>(count), tokens.end()};
}

}  // namespace

Span Sequence::MakeSpan(int32_t count, const std::vector<int32_t>& draft) const {
  Span span;
  span.tokens.assign(tokens.begin() + fed, tokens.begin() + fed + count);
  span.tokens.insert(span.tokens.end(), draft.begin(), draft.end());
  span.first_position = fed;
  return span;
}

// Row i scores the token after it.
OutputSpec Sequence::ScoreRows(int32_t begin, int32_t end) const {
  OutputSpec spec;
  const int32_t first = std::max(begin, score_from);
  const int32_t last = std::min(end, token_count() - 1);
  if (first >= last) return spec;
  spec.kind = OutputSpec::Kind::kScore;
  spec.first_scored_row = first - begin;
  spec.targets.assign(tokens.begin() + first + 1, tokens.begin() + last + 1);
  return spec;
}

OutputSpec Sequence::MakeOutput(int32_t count, int32_t draft_count) const {
  if (request.score_after >= 0) return ScoreRows(fed, fed + count);
  OutputSpec spec;
  if (fed + count < token_count() || request.max_tokens == 0) return spec;
  spec.kind = OutputSpec::Kind::kSample;
  spec.sampled_rows = 1 + draft_count;
  spec.sample.params = request.sampling;
  spec.sample.params.seed += id.second;
  spec.sample.counter = tokens.size();
  spec.sample.history = History(request.sampling, tokens);
  spec.sample.logit_bias = request.logit_bias;
  spec.sample.top_logprobs = request.top_logprobs;
  spec.return_logits = request.return_logits;
  return spec;
}

}  // namespace baton
