#include "coordinator/cli/plan_report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/cli/text_format.h"

namespace baton {
namespace {

std::string Layers(const LayerRange& layers) {
  if (layers.size() == 1) return absl::StrCat(layers.begin);
  return absl::StrCat(layers.begin, "-", layers.end - 1);
}

std::string Ends(const StageRole& role) {
  if (role.embedding && role.head) return "embedding, head";
  return role.embedding ? "embedding" : role.head ? "head" : "";
}

}  // namespace

std::string PlanTable(const PipelinePlan& plan, const std::vector<std::string>& workers) {
  uint64_t all_bytes = 0;
  for (const PlannedStage& stage : plan.stages) all_bytes += stage.weight_bytes;
  std::vector<std::vector<std::string>> rows = {
      {"stage", "worker", "layers", "ends", "weights", "share"}};
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const PlannedStage& stage = plan.stages[i];
    const double share = all_bytes == 0 ? 0 : 100.0 * stage.weight_bytes / all_bytes;
    rows.push_back({absl::StrCat(i), workers[i], Layers(stage.role.layers), Ends(stage.role),
                    HumanBytes(stage.weight_bytes), absl::StrFormat("%.0f%%", share)});
  }
  return AlignColumns(rows, /*left_columns=*/4);
}

nlohmann::ordered_json PlanJson(const PipelinePlan& plan, const std::vector<std::string>& workers,
                                const std::vector<StageStats>& stats) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const PlannedStage& stage = plan.stages[i];
    nlohmann::ordered_json object = {{"stage", i},
                                     {"worker", workers[i]},
                                     {"first_layer", stage.role.layers.begin},
                                     {"last_layer", stage.role.layers.end - 1},
                                     {"embedding", stage.role.embedding},
                                     {"head", stage.role.head},
                                     {"weight_bytes", stage.weight_bytes}};
    if (i < stats.size()) {
      object["resident_bytes"] = stats[i].resident_bytes;
      object["read_bytes"] = stats[i].read_bytes;
    }
    list.push_back(std::move(object));
  }
  return list;
}

}  // namespace baton
