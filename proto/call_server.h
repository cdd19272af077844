// A gRPC server whose calls are streams of frames, whatever their method: each runs on a thread of
// its own that may wait, and one event loop waits for the peers of all of them.
#ifndef BATON_PROTO_CALL_SERVER_H_
#define BATON_PROTO_CALL_SERVER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/server.h"
#include "proto/event_loop.h"
#include "proto/frame_stream.h"
#include "proto/transport.h"

namespace baton {

// The side that was called.
class ServerFrameStream : public FrameStream {
 public:
  // The caller is gone, or has cancelled.
  virtual bool IsCancelled() const = 0;
};

// Thread-safe.
class CallServer {
 public:
  // Serves one call until it returns; its status goes to the caller after all that was written.
  // Called by many threads at once. Unimplemented for a method that it does not know.
  using Handler = std::function<absl::Status(const std::string& method,
                                             const std::shared_ptr<ServerFrameStream>& stream)>;

  explicit CallServer(Handler handler);
  ~CallServer();  // as Stop(0)

  // Listens on `address`, whose port is set to the one bound. False when that cannot be done, once
  // and for all.
  bool Start(Address& address);
  // Refuses new calls, cancels those that still run after `grace`, and waits for them. Idempotent.
  void Stop(std::chrono::milliseconds grace);

  // For the streams that handlers open themselves. REQUIRES: Start() was called.
  EventLoop& loop() { return *loop_; }

 private:
  class Call;

  void Accept();
  void OnAccepted(const std::shared_ptr<Call>& call, bool ok);
  void Run(uint64_t id, const std::shared_ptr<Call>& call);

  const Handler handler_;
  grpc::AsyncGenericService service_;
  grpc::ServerCompletionQueue* queue_ = nullptr;  // the loop's
  std::unique_ptr<grpc::Server> server_;

  std::mutex mutex_;  // of what follows
  std::condition_variable ended_;
  bool is_stopping_ = false;
  uint64_t next_id_ = 0;
  std::map<uint64_t, std::thread> running_;
  std::vector<std::thread> finished_;  // to be joined

  std::unique_ptr<EventLoop> loop_;  // ends first: what it is told last is still of the others
};

}  // namespace baton

#endif  // BATON_PROTO_CALL_SERVER_H_
