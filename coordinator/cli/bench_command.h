// `coordinator bench`.
#ifndef BATON_COORDINATOR_CLI_BENCH_COMMAND_H_
#define BATON_COORDINATOR_CLI_BENCH_COMMAND_H_

#include "absl/status/status.h"
#include "coordinator/cli/console.h"
#include "coordinator/cli/options.h"

namespace baton {

// Runs every test with every number of threads; results go to `output` one by one, everything else
// to stderr. Errors are one sentence for a person; Cancelled after an interrupt.
absl::Status RunBench(const Options& options, Output& output);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_BENCH_COMMAND_H_
