// The model behind HTTP, until a signal comes.
#ifndef BATON_COORDINATOR_CLI_SERVE_COMMAND_H_
#define BATON_COORDINATOR_CLI_SERVE_COMMAND_H_

#include "absl/status/status.h"
#include "coordinator/cli/options.h"

namespace baton {

// Listens at once, loads, serves; after a signal takes no more requests, finishes those it has and
// ends with OK. Errors: those of the file and of loading, an address that is not to be had, a
// worker that is lost.
absl::Status RunServe(const Options& options);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_SERVE_COMMAND_H_
