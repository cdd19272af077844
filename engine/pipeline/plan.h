// Which layers run where.
#ifndef BATON_ENGINE_PIPELINE_PLAN_H_
#define BATON_ENGINE_PIPELINE_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/model/model_spec.h"
#include "engine/pipeline/stage.h"

namespace baton {

struct PlannedStage {
  StageRole role;
  uint64_t weight_bytes = 0;  // file bytes of its tensors
};

struct PipelinePlan {
  std::vector<PlannedStage> stages;  // first to last; together all layers, without gaps
};

// Splits the layers in contiguous ranges so that the stage whose steps read most reads as little as
// can be: layers and head, for each of which a step of running answers takes about as long as its
// bytes say, whether it has one row or many. Prompts hardly use the head, so that the last stage
// waits for the others a little while they are evaluated. Exact (dynamic programming), the earliest
// cuts among equals. InvalidArgument when there are more stages than layers.
absl::StatusOr<PipelinePlan> PlanByBytes(const ModelBytes& bytes, int stage_count);

// From ranges given by hand, "0-11,12-21": inclusive, in order, covering each layer once.
// InvalidArgument names the range that is wrong and what would be right.
absl::StatusOr<PipelinePlan> PlanFromRanges(const ModelBytes& bytes, absl::string_view ranges,
                                            int stage_count);

}  // namespace baton

#endif  // BATON_ENGINE_PIPELINE_PLAN_H_
