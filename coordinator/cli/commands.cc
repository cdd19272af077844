#include "coordinator/cli/commands.h"

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/cli/answer.h"
#include "coordinator/cli/chat_session.h"
#include "coordinator/cli/deployment.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/open_model.h"
#include "coordinator/cli/plan_report.h"
#include "coordinator/cli/text_format.h"
#include "coordinator/scheduler/perplexity.h"
#include "engine/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace baton {
namespace {

constexpr int32_t kPerplexityContext = 512;  // llama.cpp's default

absl::Status Print(Output& output, const std::string& text) {
  output.Write(text);
  return output.status();
}

// -p or -f, one of which is given.
absl::StatusOr<std::string> GivenText(const Options& options) {
  if (options.file.has_value()) return ReadText(*options.file);
  if (options.prompt->size() > kMaxTextBytes) {
    return absl::InvalidArgumentError("the prompt is longer than a tokenizer takes");
  }
  return *options.prompt;
}

absl::StatusOr<std::vector<int32_t>> CheckedIds(const std::vector<int32_t>& ids,
                                                const ModelSpec& spec) {
  for (const int32_t id : ids) {
    if (id < spec.vocabulary_size) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "--ids has token ", id, "; the vocabulary has ids 0 to ", spec.vocabulary_size - 1));
  }
  return ids;
}

absl::StatusOr<std::vector<int32_t>> PromptIds(const Options& options, const ModelSpec& spec,
                                               const Tokenizer& tokenizer) {
  if (options.ids.has_value()) return CheckedIds(*options.ids, spec);
  ASSIGN_OR_RETURN(const std::string text, GivenText(options));
  std::vector<int32_t> ids = tokenizer.Encode(text, TokenizeOptions());
  if (!ids.empty()) return ids;
  if (tokenizer.adds_bos() && tokenizer.bos().has_value()) return std::vector{*tokenizer.bos()};
  return absl::InvalidArgumentError(
      "the prompt is empty, and the model begins no text by itself; expected at least one token");
}

// As the scheduler says it, but before anything is started.
absl::Status CheckFits(const std::vector<int32_t>& prompt, const PlannedModel& model) {
  if (prompt.size() <= static_cast<size_t>(model.context_length)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the prompt has ", prompt.size(),
                                                 " tokens, and the context has room for ",
                                                 model.context_length));
}

// What --seed takes to get the same answers again.
void SaySeed(const Options& options) {
  if (options.sampling.temperature > 0) Say(absl::StrCat("seed ", options.sampling.seed));
}

absl::Status Report(const Options& options, const Answer& answer, Deployment& deployment,
                    Output& output) {
  if (output.closed()) return absl::OkStatus();
  if (options.json) {
    ASSIGN_OR_RETURN(const std::vector<StageStats> stats, deployment.Stats());
    const PlannedModel& model = deployment.model();
    RETURN_IF_ERROR(Print(
        output, JsonLine(AnswerJson(options, answer, PlanJson(model.plan, model.workers, stats),
                                    deployment.load_ms()))));
  } else {
    output.EndLineOnTerminal();
  }
  std::fputs(StatisticsText(answer.completion.usage).c_str(), stderr);
  return absl::OkStatus();
}

absl::Status AnswerOnce(const Options& options, std::vector<int32_t> prompt,
                        const PlannedModel& model, const Tokenizer& tokenizer, Output& output) {
  RETURN_IF_ERROR(CheckFits(prompt, model));
  ASSIGN_OR_RETURN(auto answerer, Answerer::Create(options, tokenizer, model.spec.vocabulary_size));
  ASSIGN_OR_RETURN(auto deployment, Load(options, model));
  SaySeed(options);
  const CancelOnInterrupt cancel([&] { deployment->Cancel(); });
  ASSIGN_OR_RETURN(const Answer answer, answerer->Run(std::move(prompt), deployment->scheduler(),
                                                      options.json ? nullptr : &output));
  return Report(options, answer, *deployment, output);
}

// Until the end of the input, or an interrupt.
absl::Status Converse(const Options& options, ChatSession& session, const PlannedModel& model,
                      const Tokenizer& tokenizer, Output& output) {
  ASSIGN_OR_RETURN(auto answerer, Answerer::Create(options, tokenizer, model.spec.vocabulary_size));
  ASSIGN_OR_RETURN(auto deployment, Load(options, model));
  SaySeed(options);
  const bool on_terminal = isatty(STDIN_FILENO);
  // There an answer ends with its next token.
  const CancelOnInterrupt cancel([&] {
    if (!on_terminal) deployment->Cancel();
  });
  if (on_terminal) Say("type a message; Ctrl-C ends an answer, Ctrl-D the conversation");
  LineReader lines;
  while (!output.closed()) {
    if (on_terminal) std::fputs("> ", stderr);
    std::optional<std::string> line = lines.Read();
    if (!line.has_value()) break;
    if (line->empty()) continue;
    absl::StatusOr<std::vector<int32_t>> prompt = session.Ask(*std::move(line));
    const absl::Status fits = prompt.ok() ? CheckFits(*prompt, model) : prompt.status();
    if (!fits.ok() && on_terminal) {
      // The conversation up to here is still there, and perhaps room for something shorter.
      Say(absl::StrCat("not said: ", fits.message()));
      session.Withdraw();
      continue;
    }
    RETURN_IF_ERROR(fits);
    absl::StatusOr<Answer> answer =
        answerer->Run(*std::move(prompt), deployment->scheduler(), &output);
    // A person's Ctrl-C ends the answer, and not the conversation.
    if (Interrupted() && !(on_terminal && ForgetInterrupt())) break;
    if (!absl::IsCancelled(answer.status())) RETURN_IF_ERROR(answer.status());
    output.Write("\n");
    session.Answered(answerer->text());
  }
  if (on_terminal) std::fputs("\n", stderr);
  return output.status();
}

}  // namespace

absl::Status RunPlan(const Options& options, Output& output) {
  const int32_t default_context = options.command == Command::kPerplexity ? kPerplexityContext : 0;
  ASSIGN_OR_RETURN(const PlannedModel model, PlanModel(options, default_context));
  if (!options.json) return Print(output, PlanTable(model.plan, model.cache_groups, model.workers));
  return Print(output, JsonLine({{"plan", PlanJson(model.plan, model.workers, {})}}));
}

absl::Status RunTokenize(const Options& options, Output& output) {
  ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Read(options.model));
  ASSIGN_OR_RETURN(const auto tokenizer, OpenTokenizer(file));
  ASSIGN_OR_RETURN(const std::string text, GivenText(options));
  const std::vector<int32_t> ids =
      tokenizer->Encode(text, {options.add_special, options.parse_special});
  return Print(output, JsonLine(ids));
}

absl::Status RunPerplexity(const Options& options, Output& output) {
  ASSIGN_OR_RETURN(const PlannedModel model, PlanModel(options, kPerplexityContext));
  ASSIGN_OR_RETURN(const auto tokenizer, OpenTokenizer(model.file));
  ASSIGN_OR_RETURN(const std::string text, GivenText(options));
  const std::vector<int32_t> tokens =
      tokenizer->Encode(text, {.add_special = true, .parse_special = false});
  RETURN_IF_ERROR(
      CheckPerplexityLengths(static_cast<int64_t>(tokens.size()), model.context_length));
  ASSIGN_OR_RETURN(auto deployment, Load(options, model));
  const CancelOnInterrupt cancel([&] { deployment->Cancel(); });
  const bool on_terminal = isatty(STDERR_FILENO);
  const auto progress = [&](int64_t done, int64_t total, double so_far) {
    if (on_terminal) std::fprintf(stderr, "\r%ld of %ld windows, %.4f\x1b[K", done, total, so_far);
    return !Interrupted();
  };
  const std::optional<int32_t> bos = tokenizer->adds_bos() ? tokenizer->bos() : std::nullopt;
  const absl::StatusOr<Perplexity> result =
      MeasurePerplexity(tokens, model.context_length, bos, deployment->scheduler(), progress);
  if (on_terminal) std::fputs("\r\x1b[K", stderr);
  RETURN_IF_ERROR(result.status());
  if (!options.json) {
    return Print(output, absl::StrFormat("perplexity %.4f +/- %.5f over %d tokens\n",
                                         result->perplexity, result->error, result->token_count));
  }
  return Print(output, JsonLine({{"perplexity", result->perplexity},
                                 {"error", result->error},
                                 {"tokens", result->token_count}}));
}

absl::Status RunCompletion(const Options& options, Output& output) {
  ASSIGN_OR_RETURN(const PlannedModel model, PlanModel(options, /*default_context=*/0));
  ASSIGN_OR_RETURN(const auto tokenizer, OpenTokenizer(model.file));
  ASSIGN_OR_RETURN(std::vector<int32_t> prompt, PromptIds(options, model.spec, *tokenizer));
  return AnswerOnce(options, std::move(prompt), model, *tokenizer, output);
}

absl::Status RunChat(const Options& options, Output& output) {
  ASSIGN_OR_RETURN(const PlannedModel model, PlanModel(options, /*default_context=*/0));
  ASSIGN_OR_RETURN(const auto tokenizer, OpenTokenizer(model.file));
  ASSIGN_OR_RETURN(ChatSession session, ChatSession::Create(model.file, *tokenizer, options.system,
                                                            options.chat_template));
  if (!options.prompt.has_value() && !options.file.has_value()) {
    return Converse(options, session, model, *tokenizer, output);
  }
  ASSIGN_OR_RETURN(std::string text, GivenText(options));
  ASSIGN_OR_RETURN(std::vector<int32_t> prompt, session.Ask(std::move(text)));
  return AnswerOnce(options, std::move(prompt), model, *tokenizer, output);
}

}  // namespace baton
