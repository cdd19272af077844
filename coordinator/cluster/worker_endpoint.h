// Where a worker is, and what errors call it.
#ifndef BATON_COORDINATOR_CLUSTER_WORKER_ENDPOINT_H_
#define BATON_COORDINATOR_CLUSTER_WORKER_ENDPOINT_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

struct WorkerEndpoint {
  std::string address;      // "host:port" or "unix:/path"
  std::string name;         // as errors call it: "worker 1", "worker 10.0.0.2:5000"
  std::string detail = {};  // "pid 1234" for a process of ours
  // For a process of ours: how it ended ("was killed by signal 9"), nothing while it runs. May be
  // null; called from any thread.
  std::function<std::optional<std::string>()> how_it_ended = nullptr;
};

// Workers running elsewhere, from "host:port,host:port". InvalidArgument names one that is no
// address or is there twice.
absl::StatusOr<std::vector<WorkerEndpoint>> ParseWorkerList(absl::string_view list);

// InvalidArgument when an address is there twice.
absl::Status CheckNamedOnce(const std::vector<WorkerEndpoint>& workers);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLUSTER_WORKER_ENDPOINT_H_
