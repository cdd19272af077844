#include "coordinator/scheduler/generator.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

absl::Status CheckPrompt(const GenerationRequest& request) {
  if (request.prompt.empty()) return absl::InvalidArgumentError("the prompt has no tokens");
  const int64_t count = static_cast<int64_t>(request.prompt.size());
  if (count > request.context_length) {
    return absl::InvalidArgumentError(absl::StrCat("the prompt has ", count,
                                                   " tokens, and the context has room for ",
                                                   request.context_length));
  }
  return absl::OkStatus();
}

// The end of `tokens` that penalties look back on.
std::vector<int32_t> History(const SamplingParams& params, const std::vector<int32_t>& tokens) {
  const bool wanted = params.repeat_penalty != 1.0f || params.frequency_penalty != 0.0f ||
                      params.presence_penalty != 0.0f;
  if (!wanted || params.repeat_last_n == 0) return {};
  size_t count = tokens.size();
  if (params.repeat_last_n > 0) count = std::min<size_t>(count, params.repeat_last_n);
  return {tokens.end() - static_cast<int64_t>(count), tokens.end()};
}

OutputSpec SampleAfter(const GenerationRequest& request, const std::vector<int32_t>& tokens) {
  OutputSpec spec;
  spec.kind = OutputSpec::Kind::kSample;
  spec.sample.params = request.sampling;
  spec.sample.counter = tokens.size();
  spec.sample.history = History(request.sampling, tokens);
  spec.sample.logit_bias = request.logit_bias;
  spec.sample.top_logprobs = request.top_logprobs;
  spec.return_logits = request.return_logits;
  return spec;
}

// Whether the answer goes on after the token of `output`, which is added to it where it is part.
bool Accept(const GenerationRequest& request, const SpanOutput& output,
            std::vector<int32_t>& tokens, Generation& generation) {
  const int32_t id = output.samples.at(0).token;
  generation.finish_reason = FinishReason::kStop;
  if (request.is_end && request.is_end(id)) return false;
  tokens.push_back(id);
  generation.ids.push_back(id);
  if (request.on_token && !request.on_token(output)) return false;
  generation.finish_reason = FinishReason::kLength;
  const bool full = static_cast<int64_t>(tokens.size()) > request.context_length;
  return !full && static_cast<int64_t>(generation.ids.size()) != request.max_tokens;
}

}  // namespace

absl::StatusOr<Generation> Generate(const GenerationRequest& request, StepQueue& steps,
                                    Sequence& sequence) {
  RETURN_IF_ERROR(CheckPrompt(request));
  Generation generation;
  std::vector<int32_t> tokens = request.prompt;
  const auto next = [&] {
    const OutputSpec spec = request.max_tokens == 0 ? OutputSpec() : SampleAfter(request, tokens);
    return sequence.Evaluate(tokens, spec);
  };
  const Clock::time_point start = Clock::now();
  ASSIGN_OR_RETURN(SpanOutput output, next());
  GenerationTimings& timings = generation.timings;
  timings.prompt_ms = MillisecondsSince(start);
  timings.prompt_tokens = static_cast<int64_t>(tokens.size()) - sequence.reused_count();
  if (request.max_tokens == 0) return generation;
  steps.TakeTotals();
  const Clock::time_point first_token = Clock::now();
  while (Accept(request, output, tokens, generation)) {
    ASSIGN_OR_RETURN(output, next());
  }
  timings.generated_ms = MillisecondsSince(first_token);
  timings.generated_tokens = static_cast<int64_t>(generation.ids.size());
  timings.decode_stages = steps.TakeTotals();
  return generation;
}

}  // namespace baton
