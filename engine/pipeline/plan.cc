#include "engine/pipeline/plan.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

// What a core reads in the half of a millisecond in which rows pass to another process and logits
// come back: the stage that asks has so much more to do meanwhile.
constexpr uint64_t kExchangeBytes = 4 << 20;

// Both stages compute whole groups of rows.
constexpr uint64_t kSharedRowUnit = 64;

PlannedStage MakeStage(const ModelBytes& bytes, int begin, int end) {
  PlannedStage stage;
  stage.role.layers = {begin, end};
  stage.role.embedding = begin == 0;
  stage.role.head = end == static_cast<int>(bytes.layers.size());
  stage.weight_bytes = CountStageBytes(bytes, stage.role);
  return stage;
}

absl::Status CheckStageCount(const ModelBytes& bytes, int stage_count) {
  const int layer_count = static_cast<int>(bytes.layers.size());
  if (stage_count >= 1 && stage_count <= layer_count) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(stage_count,
                                                 " stages were asked for; the model's ",
                                                 layer_count, " layers make 1 to ", layer_count));
}

// largest[s][i]: the smallest possible largest stage when layers [i, end) make s stages.
std::vector<std::vector<uint64_t>> LargestStages(const ModelBytes& bytes, int stage_count) {
  const int layer_count = static_cast<int>(bytes.layers.size());
  constexpr uint64_t kImpossible = std::numeric_limits<uint64_t>::max();
  std::vector<std::vector<uint64_t>> largest(stage_count + 1,
                                             std::vector<uint64_t>(layer_count + 1, kImpossible));
  std::vector<std::vector<uint64_t>> stage_bytes(layer_count);  // by begin, then end
  for (int begin = 0; begin < layer_count; ++begin) {
    for (int end = 0; end <= layer_count; ++end) {
      stage_bytes[begin].push_back(end > begin ? MakeStage(bytes, begin, end).weight_bytes : 0);
    }
  }
  largest[0][layer_count] = 0;
  for (int stages = 1; stages <= stage_count; ++stages) {
    for (int begin = 0; begin < layer_count; ++begin) {
      for (int end = begin + 1; end <= layer_count; ++end) {
        const uint64_t whole = std::max(stage_bytes[begin][end], largest[stages - 1][end]);
        largest[stages][begin] = std::min(largest[stages][begin], whole);
      }
    }
  }
  return largest;
}

// "3-7" as [3, 8); "3" as [3, 4).
absl::StatusOr<LayerRange> ParseRange(absl::string_view text, int begin, int layer_count) {
  const std::vector<std::string> ends = absl::StrSplit(text, '-');
  int first = -1, last = -1;
  if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &first) ||
      !absl::SimpleAtoi(ends.back(), &last)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "layer range \"", text, "\", expected FIRST-LAST as in ", begin, "-", layer_count - 1));
  }
  if (first != begin) {
    return absl::InvalidArgumentError(
        absl::StrCat("layer range ", text, " begins at ", first, ", expected ", begin));
  }
  if (last < first || last >= layer_count) {
    return absl::InvalidArgumentError(absl::StrCat("layer range ", text, " ends at ", last,
                                                   ", expected ", first, " to ", layer_count - 1));
  }
  return LayerRange{first, last + 1};
}

uint64_t CountLayerBytes(const ModelBytes& bytes, const LayerRange& layers) {
  return CountStageBytes(bytes, layers.begin, layers.end, /*embedding=*/false, /*head=*/false);
}

}  // namespace

uint64_t CountStageBytes(const ModelBytes& bytes, const StageRole& role) {
  const uint64_t shared = role.shared_logits * bytes.output_row;
  const uint64_t whole =
      CountStageBytes(bytes, role.layers.begin, role.layers.end, role.embedding, role.head);
  if (role.head) return whole - shared;
  // The embedding of a tied model has these rows.
  return role.embedding && bytes.tied > 0 ? whole : whole + shared;
}

void ShareHead(const ModelBytes& bytes, PipelinePlan& plan) {
  if (plan.stages.size() < 2) return;
  PlannedStage& helper = plan.stages[plan.stages.size() - 2];
  PlannedStage& last = plan.stages.back();
  const uint64_t matrix = bytes.output_rows * bytes.output_row;
  const uint64_t with_head = CountLayerBytes(bytes, last.role.layers) + matrix;
  const uint64_t without = CountLayerBytes(bytes, helper.role.layers);
  if (with_head <= without) return;
  const uint64_t uneven = std::min(matrix, with_head - without);
  if (uneven <= kExchangeBytes) return;
  const uint64_t moved = (uneven - kExchangeBytes) / 2;
  const uint64_t rows = moved / bytes.output_row / kSharedRowUnit * kSharedRowUnit;
  for (PlannedStage* stage : {&helper, &last}) {
    stage->role.shared_logits = static_cast<int32_t>(rows);
    stage->weight_bytes = CountStageBytes(bytes, stage->role);
  }
}

absl::StatusOr<PipelinePlan> PlanByBytes(const ModelBytes& bytes, int stage_count) {
  RETURN_IF_ERROR(CheckStageCount(bytes, stage_count));
  const std::vector<std::vector<uint64_t>> largest = LargestStages(bytes, stage_count);
  const uint64_t bound = largest[stage_count][0];
  PipelinePlan plan;
  int begin = 0;
  for (int left = stage_count - 1; left >= 0; --left) {
    int end = begin + 1;
    while (MakeStage(bytes, begin, end).weight_bytes > bound || largest[left][end] > bound) ++end;
    plan.stages.push_back(MakeStage(bytes, begin, end));
    begin = end;
  }
  return plan;
}

absl::StatusOr<PipelinePlan> PlanFromRanges(const ModelBytes& bytes, absl::string_view ranges,
                                            int stage_count) {
  RETURN_IF_ERROR(CheckStageCount(bytes, stage_count));
  const int layer_count = static_cast<int>(bytes.layers.size());
  const std::vector<std::string> texts = absl::StrSplit(ranges, ',');
  if (static_cast<int>(texts.size()) != stage_count) {
    return absl::InvalidArgumentError(absl::StrCat("layer ranges \"", ranges, "\" are ",
                                                   texts.size(), ", expected one for each of ",
                                                   stage_count, " stages"));
  }
  PipelinePlan plan;
  int begin = 0;
  for (const std::string& text : texts) {
    if (begin == layer_count) {
      return absl::InvalidArgumentError(
          absl::StrCat("layer range ", text, " comes after the last layer, ", layer_count - 1));
    }
    ASSIGN_OR_RETURN(const LayerRange range, ParseRange(text, begin, layer_count));
    plan.stages.push_back(MakeStage(bytes, range.begin, range.end));
    begin = range.end;
  }
  if (begin != layer_count) {
    return absl::InvalidArgumentError(absl::StrCat("layer ranges \"", ranges, "\" end at layer ",
                                                   begin - 1, ", expected ", layer_count - 1));
  }
  return plan;
}

}  // namespace baton
