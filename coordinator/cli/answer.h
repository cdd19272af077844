// One answer: generated, printed as it comes, and told about afterwards.
#ifndef BATON_COORDINATOR_CLI_ANSWER_H_
#define BATON_COORDINATOR_CLI_ANSWER_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "coordinator/cli/console.h"
#include "coordinator/cli/options.h"
#include "coordinator/scheduler/complete.h"
#include "coordinator/scheduler/scheduler.h"
#include "engine/tokenizer/tokenizer.h"
#include "nlohmann/json.hpp"

namespace baton {

struct Answer {
  std::vector<int32_t> prompt_ids;
  Completion completion;
  std::string text;
  std::vector<SampleResult> samples;  // with log-probabilities, one per id; empty unless asked for
};

// Not thread-safe.
class Answerer {
 public:
  // Before anything is loaded: opens the file for logits where one is asked for; InvalidArgument
  // for a logit bias outside the vocabulary. Everything outlives this.
  static absl::StatusOr<std::unique_ptr<Answerer>> Create(const Options& options,
                                                          const Tokenizer& tokenizer,
                                                          int32_t vocabulary_size);

  // Text goes to `output` as it comes, unless that is null. Ends early, without an error, where
  // nobody reads it any more; Cancelled after an interrupt.
  absl::StatusOr<Answer> Run(std::vector<int32_t> prompt, Scheduler& scheduler, Output* output);
  // The text so far of the answer that Run() made, also where it was interrupted.
  const std::string& text() const { return text_; }

 private:
  Answerer(const Options& options, const Tokenizer& tokenizer);
  absl::Status WriteLogits(absl::Span<const float> logits);

  const Options& options_;
  const Tokenizer& tokenizer_;
  std::string text_;
  std::unique_ptr<FILE, int (*)(FILE*)> logits_file_{nullptr, std::fclose};
};

// Speed, in a few lines for people.
std::string StatisticsText(const Usage& usage);

// The whole object that --json prints.
nlohmann::ordered_json AnswerJson(const Options& options, const Answer& answer,
                                  nlohmann::ordered_json plan, double load_ms);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_ANSWER_H_
