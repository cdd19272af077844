// Worker processes that the coordinator starts on its own machine, for as long as it runs.
#ifndef BATON_COORDINATOR_CLUSTER_LOCAL_WORKERS_H_
#define BATON_COORDINATOR_CLUSTER_LOCAL_WORKERS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/cluster/worker_endpoint.h"
#include "coordinator/cluster/worker_process.h"

namespace baton {

// From the start of a process to its socket, on a busy machine.
inline constexpr std::chrono::milliseconds kWorkerStartTimeout{10000};

struct LocalWorkersOptions {
  std::string binary;  // empty: FindWorkerBinary()
  int count = 1;
  std::string model_path;
  int thread_count = 1;  // of each
  std::string isa;       // empty: the worker's choice
};

// The worker beside this program: in its own folder, in the sibling folder of the build tree, or in
// its runfiles. NotFound lists where was looked.
absl::StatusOr<std::string> FindWorkerBinary();

class LocalWorkers {
 public:
  // They listen on Unix sockets in a folder that only this user can enter. Returns when all can be
  // dialled. REQUIRES: as WorkerProcess::Start.
  static absl::StatusOr<std::unique_ptr<LocalWorkers>> Start(const LocalWorkersOptions& options);
  // Ends them all, and removes the folder.
  ~LocalWorkers();

  // Valid as long as this object.
  std::vector<WorkerEndpoint> Endpoints() const;
  // What they wrote on stderr, each line with the worker's name in front: for when something is
  // wrong. Empty where all are silent.
  std::string Stderr() const;

 private:
  explicit LocalWorkers(std::string folder) : folder_(std::move(folder)) {}
  std::string SocketPath(int worker) const;

  const std::string folder_;
  std::vector<std::unique_ptr<WorkerProcess>> processes_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_CLUSTER_LOCAL_WORKERS_H_
