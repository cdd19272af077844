// The coordinator's link to one worker: dial, hello, lease.
#ifndef BATON_COORDINATOR_CLUSTER_WORKER_LINK_H_
#define BATON_COORDINATOR_CLUSTER_WORKER_LINK_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/cluster/worker_endpoint.h"
#include "engine/pipeline/stage.h"
#include "grpcpp/channel.h"
#include "proto/event_loop.h"
#include "proto/frame_stream.h"
#include "proto/handshake.h"
#include "proto/wire.grpc.pb.h"

namespace baton {

// Thread-safe after Lease().
class WorkerLink {
 public:
  struct Events {
    std::function<void(uint64_t bytes_done, uint64_t bytes_total)> progress;
    std::function<void()> loaded;
    // The lease ended, once. `indirect`: the worker only reports that a neighbour is gone.
    std::function<void(const absl::Status& status, bool indirect)> failed;
  };

  // `layers` completes the worker's name in errors.
  // `loop` outlives the link.
  WorkerLink(WorkerEndpoint endpoint, LayerRange layers, EventLoop& loop);
  // Gives the lease back.
  ~WorkerLink();

  const std::string& name() const { return name_; }
  // That neighbours dial: the one that the worker advertises, or else the one dialled here.
  const std::string& address_for_neighbours() const { return neighbour_address_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // Dials, and compares versions. Unavailable within two seconds when nobody answers.
  absl::Status Hello(const Versions& versions);
  // Starts a thread that holds the lease and reports what becomes of it.
  void Lease(const StageConfig& config, Events events);
  // Ends the lease, from any thread; no event is reported any more once it returns.
  void Release();

  absl::StatusOr<StageStats> Stats(uint64_t epoch);

  // An error with the worker's name in front.
  absl::Status Named(const absl::Status& status) const;
  // The same; where the worker was lost, how its process ended if that is known.
  absl::Status Blame(const absl::Status& status) const;

 private:
  void HoldLease(const Events& events);
  std::optional<std::string> AwaitEnd() const;

  const WorkerEndpoint endpoint_;
  const std::string name_;
  std::string neighbour_address_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<wire::Worker::Stub> stub_;
  EventLoop& loop_;
  std::shared_ptr<ClientFrameStream> lease_;
  std::thread thread_;  // holds the lease
};

}  // namespace baton

#endif  // BATON_COORDINATOR_CLUSTER_WORKER_LINK_H_
