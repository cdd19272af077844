// The plan, for people and for scripts.
#ifndef BATON_COORDINATOR_CLI_PLAN_REPORT_H_
#define BATON_COORDINATOR_CLI_PLAN_REPORT_H_

#include <string>
#include <vector>

#include "engine/model/cache_groups.h"
#include "engine/pipeline/plan.h"
#include "engine/pipeline/stage.h"
#include "nlohmann/json.hpp"

namespace baton {

// `workers`: who runs each stage. A line per stage, and where layers have a window one that says
// how much of the KV cache they have.
std::string PlanTable(const PipelinePlan& plan, const std::vector<CacheGroup>& groups,
                      const std::vector<std::string>& workers);

// A list with an object per stage. What was measured, by stage; empty where nothing runs yet: then
// the fields are left out.
nlohmann::ordered_json PlanJson(const PipelinePlan& plan, const std::vector<std::string>& workers,
                                const std::vector<StageStats>& stats);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_PLAN_REPORT_H_
