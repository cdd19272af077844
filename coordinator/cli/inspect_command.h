// `coordinator inspect`: what a file is, and whether it is sound.
#ifndef BATON_COORDINATOR_CLI_INSPECT_COMMAND_H_
#define BATON_COORDINATOR_CLI_INSPECT_COMMAND_H_

#include "absl/status/statusor.h"
#include "coordinator/cli/console.h"
#include "coordinator/cli/options.h"
#include "engine/inspect/inspection.h"

namespace baton {

// The report goes to `output`; of a broken file, the first problem to stderr too, as any other
// error. An error where there is no such file.
absl::StatusOr<Verdict> RunInspect(const Options& options, Output& output);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_INSPECT_COMMAND_H_
