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

Answerer::Answerer(const Options& options, const Tokenizer& tokenizer, Deployment& deployment)
    : options_(options),
      tokenizer_(tokenizer),
      deployment_(deployment),
      sequence_(deployment.steps(), deployment.blocks(), options.prompt_chunk) {}

absl::StatusOr<std::unique_ptr<Answerer>> Answerer::Create(const Options& options,
                                                           const Tokenizer& tokenizer,
                                                           Deployment& deployment) {
  RETURN_IF_ERROR(CheckLogitBias(options, deployment.model().spec.vocabulary_size));
  std::unique_ptr<Answerer> answerer(new Answerer(options, tokenizer, deployment));
  if (!options.logits_file.empty()) {
    answerer->logits_file_.reset(std::fopen(options.logits_file.c_str(), "wb"));
    if (answerer->logits_file_ == nullptr) {
      return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", options.logits_file));
    }
  }
  return answerer;
}

absl::Status Answerer::WriteLogits(const std::vector<float>& logits) {
  if (logits_file_ == nullptr) return absl::OkStatus();
  // Every machine that this is built for is little-endian, as the file is.
  const size_t written =
      std::fwrite(logits.data(), sizeof(float), logits.size(), logits_file_.get());
  if (written == logits.size() && std::fflush(logits_file_.get()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", options_.logits_file));
}

absl::StatusOr<Answer> Answerer::Run(std::vector<int32_t> prompt, Output* output) {
  Answer answer;
  StreamDecoder decoder(tokenizer_, options_.stop);
  absl::Status status;
  const auto print = [&](const std::string& text) {
    answer.text += text;
    return output == nullptr || text.empty() || output->Write(text);
  };
  GenerationRequest request;
  request.prompt = prompt;
  request.sampling = options_.sampling;
  request.logit_bias = options_.logit_bias;
  request.top_logprobs = options_.top_logprobs;
  request.return_logits = logits_file_ != nullptr;
  request.max_tokens = options_.max_tokens;
  request.context_length = deployment_.model().context_length;
  if (!options_.ignore_eos) {
    request.is_end = [&](int32_t id) { return tokenizer_.IsEndOfGeneration(id); };
  }
  request.on_token = [&](const SpanOutput& step) {
    status = WriteLogits(step.logits);
    if (options_.top_logprobs >= 0) answer.samples.push_back(step.samples.at(0));
    const bool readable = print(decoder.Push(step.samples.at(0).token));
    return status.ok() && readable && !decoder.stopped() && !Interrupted();
  };
  absl::StatusOr<Generation> generation = Generate(request, deployment_.steps(), sequence_);
  if (Interrupted()) return absl::CancelledError("interrupted");
  RETURN_IF_ERROR(generation.status());
  RETURN_IF_ERROR(status);
  print(decoder.Flush());
  if (output != nullptr) RETURN_IF_ERROR(output->status());
  answer.prompt_ids = std::move(prompt);
  answer.generation = *std::move(generation);
  return answer;
}

std::string StatisticsText(const GenerationTimings& timings) {
  std::string text = absl::StrFormat(
      "prompt      %d tokens, %.1f tok/s, first token after %.1f ms\n", timings.prompt_tokens,
      PerSecond(timings.prompt_tokens, timings.prompt_ms), timings.prompt_ms);
  absl::StrAppendFormat(&text, "generation  %d tokens", timings.generated_tokens);
  const StageTotals& stages = timings.decode_stages;
  if (stages.step_count == 0) return text + "\n";
  const double step_count = static_cast<double>(stages.step_count);
  absl::StrAppendFormat(&text, ", %.1f tok/s\nstages      ms per token:",
                        PerSecond(stages.step_count, timings.generated_ms));
  for (size_t i = 0; i < stages.compute_ms.size(); ++i) {
    absl::StrAppendFormat(&text, "  %d: %.2f", i, stages.compute_ms[i] / step_count);
  }
  return text + "\n";
}

Json AnswerJson(const Options& options, const Answer& answer, Json plan, double load_ms) {
  const GenerationTimings& timings = answer.generation.timings;
  const bool stopped = answer.generation.finish_reason == FinishReason::kStop;
  Json object = {{"model", options.model},
                 {"prompt_ids", answer.prompt_ids},
                 {"ids", answer.generation.ids},
                 {"text", answer.text},
                 {"finish_reason", stopped ? "stop" : "length"}};
  if (options.top_logprobs >= 0) object["logprobs"] = LogprobsJson(answer);
  object["plan"] = std::move(plan);
  object["timings"] = {{"load_ms", load_ms},
                       {"prompt_tokens", timings.prompt_tokens},
                       {"prompt_ms", timings.prompt_ms},
                       {"generated_tokens", timings.generated_tokens},
                       {"generated_ms", timings.generated_ms},
                       {"first_token_ms", timings.prompt_ms}};
  return object;
}

}  // namespace baton
