#include "worker/stage_loader.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/gguf/gguf_file.h"
#include "engine/inspect/check_model.h"
#include "engine/kernels/attention.h"
#include "engine/kernels/packed_matrix.h"
#include "engine/model/model_spec.h"
#include "engine/pipeline/local_stage.h"
#include "proto/handshake.h"
#include "worker/model_finder.h"

namespace baton {
namespace {

absl::StatusOr<ActivationMode> ParseActivations(absl::string_view name) {
  if (name == "int8") return ActivationMode::kInt8;
  if (name == "f32") return ActivationMode::kF32;
  return absl::InvalidArgumentError(
      absl::StrCat("activations '", name, "' are unknown; there are int8 and f32"));
}

absl::Status CheckDimension(const char* what, int64_t here, int64_t coordinator) {
  if (here == coordinator) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the model's ", what, " is ", here,
                                                    " here, the coordinator says ", coordinator));
}

absl::Status CheckDimensions(const ModelSpec& spec, const StageConfig& config) {
  RETURN_IF_ERROR(CheckDimension("layer count", spec.layer_count, config.layer_count));
  RETURN_IF_ERROR(CheckDimension("width", spec.width, config.width));
  return CheckDimension("vocabulary size", spec.vocabulary_size, config.vocabulary_size);
}

}  // namespace

absl::StatusOr<StageLoader> MakeStageLoader(const StageLoaderOptions& options) {
  auto finder = std::make_shared<ModelFinder>(options.model_file, options.model_folder);
  RETURN_IF_ERROR(finder->Check());
  return StageLoader([finder, options](const StageConfig& config, const ProgressCallback& progress)
                         -> absl::StatusOr<std::unique_ptr<Stage>> {
    LocalStageOptions stage;
    stage.role = config.role;
    ASSIGN_OR_RETURN(stage.numeric.kv_type, ParseKvType(config.kv_type));
    ASSIGN_OR_RETURN(stage.numeric.activations, ParseActivations(config.activations));
    stage.numeric.asked_context = config.asked_context;
    stage.isa = options.isa;
    stage.thread_count = options.thread_count;
    stage.kv_block_counts = config.kv_block_counts;
    stage.progress = progress;
    // How much there is to load is not known yet.
    const auto keep_looking = [&progress] { return progress(0, 1); };
    ASSIGN_OR_RETURN(const GgufFile file, finder->Find(config.model_identity, keep_looking));
    ASSIGN_OR_RETURN(const ModelSpec spec, CheckModel(file));
    RETURN_IF_ERROR(CheckDimensions(spec, config));
    ASSIGN_OR_RETURN(std::unique_ptr<Stage> loaded, LocalStage::Load(file, stage));
    return loaded;
  });
}

}  // namespace baton
