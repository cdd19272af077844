// An inspection as people and as scripts read it.
#ifndef BATON_COORDINATOR_CLI_INSPECT_REPORT_H_
#define BATON_COORDINATOR_CLI_INSPECT_REPORT_H_

#include <string>

#include "engine/inspect/inspection.h"
#include "nlohmann/json.hpp"

namespace baton {

// What the file is, with `list_tensors` its tensor table, its problems, and as the last line the
// verdict.
std::string InspectionText(const Inspection& inspection, bool list_tensors);

nlohmann::ordered_json InspectionJson(const Inspection& inspection);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_INSPECT_REPORT_H_
