// What the coordinator can be asked to do, one function each. Results go to `output`, everything
// else to stderr. Errors are one sentence for a person; Cancelled after an interrupt.
#ifndef BATON_COORDINATOR_CLI_COMMANDS_H_
#define BATON_COORDINATOR_CLI_COMMANDS_H_

#include "absl/status/status.h"
#include "coordinator/cli/console.h"
#include "coordinator/cli/options.h"

namespace baton {

absl::Status RunPlan(const Options& options, Output& output);
absl::Status RunTokenize(const Options& options, Output& output);
absl::Status RunPerplexity(const Options& options, Output& output);
// One raw prompt.
absl::Status RunCompletion(const Options& options, Output& output);
// One question with the model's chat template, or a conversation where none is given.
absl::Status RunChat(const Options& options, Output& output);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_COMMANDS_H_
