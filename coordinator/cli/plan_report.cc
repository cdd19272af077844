#include "coordinator/cli/plan_report.h"

#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/cli/text_format.h"

namespace baton {
namespace {

std::string Layers(const LayerRange& layers) {
  if (layers.size() == 1) return absl::StrCat(layers.begin);
  return absl::StrCat(layers.begin, "-", layers.end - 1);
}

// "embedding, part of head".
std::string Ends(const StageRole& role) {
  const char* head = role.head ? "head" : role.shared_logits > 0 ? "part of head" : "";
  return absl::StrCat(role.embedding ? "embedding" : "", role.embedding && *head ? ", " : "", head);
}

uint64_t KvBytes(const PlannedStage& stage) {
  return std::accumulate(stage.kv_bytes.begin(), stage.kv_bytes.end(), uint64_t{0});
}

// "KV cache 96.0 MiB: 64.0 MiB for 22 layers of full attention, 32.0 MiB for 4 with a window of
// 512"
std::string KvNote(const PipelinePlan& plan, const std::vector<CacheGroup>& groups) {
  uint64_t all_bytes = 0;
  std::vector<std::string> parts;
  for (size_t i = 0; i < groups.size(); ++i) {
    uint64_t bytes = 0;
    for (const PlannedStage& stage : plan.stages) bytes += stage.kv_bytes[i];
    all_bytes += bytes;
    const size_t layers = groups[i].layers.size();
    const char* noun = i > 0 ? "" : layers == 1 ? " layer" : " layers";
    parts.push_back(absl::StrCat(HumanBytes(bytes), " for ", layers, noun,
                                 groups[i].window == 0
                                     ? " of full attention"
                                     : absl::StrCat(" with a window of ", groups[i].window)));
  }
  return absl::StrCat("KV cache ", HumanBytes(all_bytes), ": ", absl::StrJoin(parts, ", "), "\n");
}

}  // namespace

std::string PlanTable(const PipelinePlan& plan, const std::vector<CacheGroup>& groups,
                      const std::vector<std::string>& workers) {
  uint64_t all_bytes = 0;
  for (const PlannedStage& stage : plan.stages) all_bytes += stage.weight_bytes;
  std::vector<std::vector<std::string>> rows = {
      {"stage", "worker", "layers", "ends", "weights", "share", "KV"}};
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const PlannedStage& stage = plan.stages[i];
    const double share = all_bytes == 0 ? 0 : 100.0 * stage.weight_bytes / all_bytes;
    rows.push_back({absl::StrCat(i), workers[i], Layers(stage.role.layers), Ends(stage.role),
                    HumanBytes(stage.weight_bytes), absl::StrFormat("%.0f%%", share),
                    HumanBytes(KvBytes(stage))});
  }
  const bool has_windows = groups.size() > 1 || groups[0].window > 0;
  return AlignColumns(rows, /*left_columns=*/4) + (has_windows ? KvNote(plan, groups) : "");
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
                                     {"shared_logits", stage.role.shared_logits},
                                     {"weight_bytes", stage.weight_bytes},
                                     {"kv_bytes", KvBytes(stage)}};
    if (i < stats.size()) {
      object["resident_bytes"] = stats[i].resident_bytes;
      object["read_bytes"] = stats[i].read_bytes;
    }
    list.push_back(std::move(object));
  }
  return list;
}

}  // namespace baton
