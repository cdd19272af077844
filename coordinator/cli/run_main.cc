#include "coordinator/cli/run_main.h"

#include <random>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "coordinator/cli/bench_command.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/console.h"
#include "coordinator/cli/inspect_command.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/options.h"
#include "coordinator/cli/serve_command.h"
#include "coordinator/cli/text_format.h"

namespace baton {
namespace {

int Fail(const absl::Status& status, int exit_code) {
  Say(absl::StrCat("error: ", OneLine(status.message())));
  return exit_code;
}

void ChooseSeed(Options& options) {
  if (options.seed_given || options.sampling.temperature <= 0) return;
  // 32 bits: what a person can copy.
  options.sampling.seed = std::random_device()();
}

absl::Status Run(Options& options, Output& output) {
  if (options.command == Command::kHelp) {
    output.Write(options.help);
    return output.status();
  }
  if (options.plan_only) return RunPlan(options, output);
  ChooseSeed(options);
  switch (options.command) {
    case Command::kTokenize:
      return RunTokenize(options, output);
    case Command::kPerplexity:
      return RunPerplexity(options, output);
    case Command::kBench:
      return RunBench(options, output);
    case Command::kChat:
      return RunChat(options, output);
    case Command::kServe:
      return RunServe(options);
    default:
      return RunCompletion(options, output);
  }
}

// The file's verdict as an exit code.
int RunInspectCommand(const Options& options, Output& output) {
  const absl::StatusOr<Verdict> verdict = RunInspect(options, output);
  if (output.closed()) return kExitOk;
  if (Interrupted()) return Fail(absl::CancelledError("interrupted"), kExitError);
  if (!verdict.ok()) return Fail(verdict.status(), kExitError);
  if (*verdict == Verdict::kUnknown) return kExitUnknown;
  return *verdict == Verdict::kSound ? kExitOk : kExitError;
}

}  // namespace

int RunMain(const std::vector<std::string>& arguments) {
  absl::StatusOr<Options> options = ParseOptions(arguments);
  if (!options.ok()) return Fail(options.status(), kExitUsage);
  Output output;
  if (options->command == Command::kInspect) return RunInspectCommand(*options, output);
  const absl::Status status = Run(*options, output);
  // Whoever closes the other end has what was wanted.
  if (output.closed()) return kExitOk;
  if (Interrupted() && !status.ok()) return Fail(absl::CancelledError("interrupted"), kExitError);
  return status.ok() ? kExitOk : Fail(status, kExitError);
}

}  // namespace baton
