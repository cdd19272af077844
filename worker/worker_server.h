// A worker's gRPC server: leases the process to one coordinator at a time.
//
// A coordinator's Configure stream is the lease: while it is open the worker is a stage of that
// coordinator's chain, and when it breaks the stage is dropped, its memory freed. A Configure of a
// higher epoch replaces the lease; any other is refused while one is held.
#ifndef BATON_WORKER_WORKER_SERVER_H_
#define BATON_WORKER_WORKER_SERVER_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/pipeline/stage.h"
#include "proto/handshake.h"
#include "proto/transport.h"
#include "proto/version.h"

namespace baton {

// False when nobody waits for the stage any more: the loader then ends as Cancelled.
using ProgressCallback = std::function<bool(uint64_t bytes_done, uint64_t bytes_total)>;

// Loads the stage. Called by one thread at a time; `progress` may be called from any thread until
// it returns.
using StageLoader = std::function<absl::StatusOr<std::unique_ptr<Stage>>(
    const StageConfig& config, const ProgressCallback& progress)>;

struct WorkerServerOptions {
  std::string listen;                   // as ParseAddress reads it; port 0 takes a free one
  std::string advertised_address = {};  // that neighbours dial; empty: the one dialled
  StageLoader loader = nullptr;
  Versions versions = {};
  // What a caller has for the message that each call begins with: calls are bounded in number, and
  // those that never say what they want must not lock out the others.
  std::chrono::milliseconds first_message_patience = kKeepaliveTimeout;
};

// Thread-safe.
class WorkerServer {
 public:
  virtual ~WorkerServer() = default;

  // Can be dialled once it returns. InvalidArgument for an address that is none; Unavailable when
  // it cannot be listened on, with the reason ("the port is in use").
  static absl::StatusOr<std::unique_ptr<WorkerServer>> Start(WorkerServerOptions options);

  // The address with the port that was bound.
  virtual const std::string& address() const = 0;
  // Breaks all streams and waits for the step that is being computed. Idempotent.
  virtual void Stop() = 0;
};

}  // namespace baton

#endif  // BATON_WORKER_WORKER_SERVER_H_
