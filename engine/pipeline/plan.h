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
  uint64_t weight_bytes = 0;            // file bytes of its tensors
  std::vector<uint64_t> kv_bytes = {};  // of its KV blocks, by cache group; empty: not decided yet
};

struct PipelinePlan {
  std::vector<PlannedStage> stages;  // first to last; together all layers, without gaps
};

// File bytes of a stage's tensors.
uint64_t CountStageBytes(const ModelBytes& bytes, const StageRole& role);

// Splits the layers in contiguous ranges so that the largest stage is as small as can be, embedding
// and head counted; exact (dynamic programming), the earliest cuts among equals. Bytes, because a
// model is split where one memory is too small for it. By time the stage with the head would have
// fewer layers, and prompts, which hardly use the head, would wait for the other stage; ShareHead
// evens out the rest. InvalidArgument when there are more stages than layers.
absl::StatusOr<PipelinePlan> PlanByBytes(const ModelBytes& bytes, int stage_count);

// Has the last two stages share the output matrix, so that both read as many weights for a token:
// the one with the head would otherwise be the slower one by half a large vocabulary, and the other
// one wait for it. At most half of the matrix is moved, because both compute at the same time, and
// nothing where that would gain less than the exchange of rows and logits costs. For stages on one
// machine: over a network the exchange takes longer.
void ShareHead(const ModelBytes& bytes, PipelinePlan& plan);

// From ranges given by hand, "0-11,12-21": inclusive, in order, covering each layer once.
// InvalidArgument names the range that is wrong and what would be right.
absl::StatusOr<PipelinePlan> PlanFromRanges(const ModelBytes& bytes, absl::string_view ranges,
                                            int stage_count);

}  // namespace baton

#endif  // BATON_ENGINE_PIPELINE_PLAN_H_
