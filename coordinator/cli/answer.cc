#include "coordinator/cli/answer.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/cli/interrupt.h"
#include "engine/base/status_macros.h"
#include "engine/tokenizer/stream_decoder.h"

namespace baton {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMillisecondsPerSecond = 1000.0;

double PerSecond(int64_t count, double milliseconds) {
  return milliseconds > 0 ? static_cast<double>(count) * kMillisecondsPerSecond / milliseconds : 0;
}

// Until the first token was there, or all of the prompt where none was wanted.
double PromptMs(const Usage& usage) {
  return usage.first_token_ms > 0 ? usage.first_token_ms : usage.total_ms;
}

double GenerationMs(const Usage& usage) { return usage.total_ms - PromptMs(usage); }

// A double that prints with the nine digits which tell every float from its neighbours.
double NineDigits(float value) {
  return std::strtod(absl::StrFormat("%.9g", value).c_str(), nullptr);
}

Json LogprobsJson(const Answer& answer) {
  Json steps = Json::array();
  for (const SampleResult& sample : answer.samples) {
    Json top = Json::array();
    for (const auto& [id, logprob] : sample.top_logprobs) {
      top.push_back(Json::array({id, NineDigits(logprob)}));
    }
    steps.push_back(
        {{"id", sample.token}, {"logprob", NineDigits(sample.logprob)}, {"top", std::move(top)}});
  }
  return steps;
}

absl::Status CheckLogitBias(const Options& options, int32_t vocabulary_size) {
  for (const auto& [id, bias] : options.logit_bias) {
    if (id < vocabulary_size) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "--logit-bias names token ", id, "; the vocabulary has ids 0 to ", vocabulary_size - 1));
  }
  return absl::OkStatus();
}

}  // namespace

Answerer::Answerer(const Options& options, const Tokenizer& tokenizer)
    : options_(options), tokenizer_(tokenizer) {}

absl::StatusOr<std::unique_ptr<Answerer>> Answerer::Create(const Options& options,
                                                           const Tokenizer& tokenizer,
                                                           int32_t vocabulary_size) {
  RETURN_IF_ERROR(CheckLogitBias(options, vocabulary_size));
  std::unique_ptr<Answerer> answerer(new Answerer(options, tokenizer));
  if (!options.logits_file.empty()) {
    answerer->logits_file_.reset(std::fopen(options.logits_file.c_str(), "wb"));
    if (answerer->logits_file_ == nullptr) {
      return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", options.logits_file));
    }
  }
  return answerer;
}

absl::Status Answerer::WriteLogits(absl::Span<const float> logits) {
  if (logits_file_ == nullptr) return absl::OkStatus();
  // Every machine that this is built for is little-endian, as the file is.
  const size_t written =
      std::fwrite(logits.data(), sizeof(float), logits.size(), logits_file_.get());
  if (written == logits.size() && std::fflush(logits_file_.get()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", options_.logits_file));
}

absl::StatusOr<Answer> Answerer::Run(std::vector<int32_t> prompt, Scheduler& scheduler,
                                     Output* output) {
  Answer answer;
  StreamDecoder decoder(tokenizer_, options_.stop);
  text_.clear();
  absl::Status status;
  const auto print = [&](const std::string& text) {
    text_ += text;
    return output == nullptr || text.empty() || output->Write(text);
  };
  Request request;
  request.prompt = prompt;
  request.sampling = options_.sampling;
  request.logit_bias = options_.logit_bias;
  request.top_logprobs = options_.top_logprobs;
  request.return_logits = logits_file_ != nullptr;
  request.max_tokens = options_.max_tokens;
  request.speculation = options_.speculation;
  if (!options_.ignore_eos) {
    request.is_end = [&](int32_t id) { return tokenizer_.IsEndOfGeneration(id); };
  }
  const auto on_token = [&](const SampleResult& sample, absl::Span<const float> logits) {
    status = WriteLogits(logits);
    if (options_.top_logprobs >= 0) answer.samples.push_back(sample);
    const bool readable = print(decoder.Push(sample.token));
    return status.ok() && readable && !decoder.stopped() && !Interrupted();
  };
  absl::StatusOr<Completion> completion = Complete(scheduler, std::move(request), on_token);
  if (Interrupted()) return absl::CancelledError("interrupted");
  RETURN_IF_ERROR(completion.status());
  RETURN_IF_ERROR(status);
  print(decoder.Flush());
  if (output != nullptr) RETURN_IF_ERROR(output->status());
  answer.prompt_ids = std::move(prompt);
  answer.text = text_;
  answer.completion = *std::move(completion);
  return answer;
}

std::string StatisticsText(const Usage& usage) {
  const int64_t evaluated = usage.prompt_tokens - usage.cached_tokens;
  std::string text =
      absl::StrFormat("prompt      %d tokens, %.1f tok/s, first token after %.1f ms\n", evaluated,
                      PerSecond(evaluated, PromptMs(usage)), PromptMs(usage));
  absl::StrAppendFormat(&text, "generation  %d tokens", usage.generated_tokens);
  if (usage.decode_steps == 0) return text + "\n";
  // The first token is the prompt's.
  const int64_t tokens = usage.decode_steps + usage.accepted_tokens;
  absl::StrAppendFormat(&text, ", %.1f tok/s", PerSecond(tokens, GenerationMs(usage)));
  if (usage.drafted_tokens > 0) {
    absl::StrAppendFormat(&text, ", %d of %d drafted tokens right", usage.accepted_tokens,
                          usage.drafted_tokens);
  }
  absl::StrAppend(&text, "\nstages      ms per token:");
  for (size_t i = 0; i < usage.decode_stage_ms.size(); ++i) {
    absl::StrAppendFormat(&text, "  %d: %.2f", i,
                          usage.decode_stage_ms[i] / static_cast<double>(tokens));
  }
  return text + "\n";
}

Json AnswerJson(const Options& options, const Answer& answer, Json plan, double load_ms) {
  const Usage& usage = answer.completion.usage;
  const bool stopped = answer.completion.finish_reason == FinishReason::kStop;
  Json object = {{"model", options.model},
                 {"prompt_ids", answer.prompt_ids},
                 {"ids", answer.completion.ids},
                 {"text", answer.text},
                 {"finish_reason", stopped ? "stop" : "length"}};
  if (options.top_logprobs >= 0) object["logprobs"] = LogprobsJson(answer);
  object["plan"] = std::move(plan);
  object["timings"] = {{"load_ms", load_ms},
                       {"prompt_tokens", usage.prompt_tokens - usage.cached_tokens},
                       {"prompt_ms", PromptMs(usage)},
                       {"generated_tokens", usage.generated_tokens},
                       {"generated_ms", GenerationMs(usage)},
                       {"first_token_ms", PromptMs(usage)}};
  return object;
}

}  // namespace baton
