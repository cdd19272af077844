// What every command that uses a model does first, told on stderr.
#ifndef BATON_COORDINATOR_CLI_OPEN_MODEL_H_
#define BATON_COORDINATOR_CLI_OPEN_MODEL_H_

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "coordinator/cli/deployment.h"
#include "coordinator/cli/options.h"
#include "engine/gguf/gguf_file.h"
#include "engine/tokenizer/tokenizer.h"

namespace baton {

// With a warning where the file does not name its pre-tokenizer.
absl::StatusOr<std::unique_ptr<Tokenizer>> OpenTokenizer(const GgufFile& file);

// Deployment::Start(), with the plan before it and the time it took after it.
absl::StatusOr<std::unique_ptr<Deployment>> Load(
    const Options& options, const PlannedModel& model,
    const std::function<void(double share)>& on_progress = nullptr);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_OPEN_MODEL_H_
