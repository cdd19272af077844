// From what a coordinator asks for to a stage that computes: finds the file, checks that it is the
// model that the coordinator means, loads its layers.
#ifndef BATON_WORKER_STAGE_LOADER_H_
#define BATON_WORKER_STAGE_LOADER_H_

#include <string>

#include "absl/status/statusor.h"
#include "engine/kernels/isa.h"
#include "worker/worker_server.h"

namespace baton {

struct StageLoaderOptions {
  std::string model_file;    // may be empty
  std::string model_folder;  // may be empty
  int thread_count = 1;
  Isa isa = Isa::kScalar;
};

// Fails where the file or the folder cannot be read. The loader's errors: NotFound when no file is
// of the identity; FailedPrecondition where the model's dimensions are not the coordinator's;
// InvalidArgument for options it does not know; those of LocalStage::Load.
absl::StatusOr<StageLoader> MakeStageLoader(const StageLoaderOptions& options);

}  // namespace baton

#endif  // BATON_WORKER_STAGE_LOADER_H_
