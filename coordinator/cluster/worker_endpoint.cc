#include "coordinator/cluster/worker_endpoint.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/status_macros.h"
#include "proto/transport.h"

namespace baton {

absl::StatusOr<std::vector<WorkerEndpoint>> ParseWorkerList(absl::string_view list) {
  std::vector<WorkerEndpoint> workers;
  for (const absl::string_view text : absl::StrSplit(list, ',')) {
    ASSIGN_OR_RETURN(const Address address, ParseAddress(text));
    WorkerEndpoint worker;
    worker.address = address.ToString();
    worker.name = absl::StrCat("worker ", worker.address);
    workers.push_back(std::move(worker));
  }
  RETURN_IF_ERROR(CheckNamedOnce(workers));
  return workers;
}

absl::Status CheckNamedOnce(const std::vector<WorkerEndpoint>& workers) {
  std::set<std::string> seen;
  for (const WorkerEndpoint& worker : workers) {
    if (!seen.insert(worker.address).second) {
      return absl::InvalidArgumentError(absl::StrCat(worker.name, " is named twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace baton
