// One worker process of ours.
//
// The process holds one end of a socket pair, its lifeline. The kernel closes our end when we end,
// however we end, and the worker leaves at once: it never outlives us. It writes one byte into the
// lifeline when it can be dialled.
#ifndef BATON_COORDINATOR_CLUSTER_WORKER_PROCESS_H_
#define BATON_COORDINATOR_CLUSTER_WORKER_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace baton {

// A worker that has stopped on being told so: it has nothing to save.
inline constexpr std::chrono::milliseconds kWorkerStopGrace{500};
// The descriptor that a worker is given its lifeline at; above stdin, stdout and stderr.
inline constexpr int kLifelineFd = 3;

// Thread-safe.
class WorkerProcess {
 public:
  // Starts `binary` with `arguments`. Its stderr is kept in memory. Internal when it cannot be
  // started, naming the binary.
  // REQUIRES: the calling thread lives as long as this object; the kernel kills the worker with it.
  static absl::StatusOr<std::unique_ptr<WorkerProcess>> Start(
      const std::string& binary, const std::vector<std::string>& arguments);
  // Ends the process, by SIGKILL where it does not go by itself, and waits for it.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  pid_t pid() const { return pid_; }
  // Waits until the worker can be dialled. Unavailable with how it ended and its last words when it
  // ended before; DeadlineExceeded.
  absl::Status AwaitListening(std::chrono::milliseconds timeout);
  // "was killed by signal 9", "ended with exit code 1"; nothing while it runs.
  std::optional<std::string> HowItEnded();
  // What it wrote on stderr, at most the last few kilobytes.
  std::string Stderr() const;
  // Lets go of the lifeline, on which the worker leaves. Does not wait.
  void LetGo();

 private:
  WorkerProcess(pid_t pid, int lifeline, int log) : pid_(pid), log_(log), lifeline_(lifeline) {}

  const pid_t pid_;
  const int log_;  // a file in memory
  std::mutex mutex_;
  int lifeline_;
  std::optional<std::string> end_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_CLUSTER_WORKER_PROCESS_H_
