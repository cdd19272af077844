// One thread that waits for everything which a process's gRPC streams wait for.
//
// gRPC lets any thread that waits on a stream do the work of all streams, and then hand it on: with
// a thread per stream each message wakes most of them, one after the other. Where a machine sleeps
// between messages, as between the tokens of one answer, a wake costs as much as the message. So
// there is one thread, and streams (frame_stream.h) give it what to do.
#ifndef BATON_PROTO_EVENT_LOOP_H_
#define BATON_PROTO_EVENT_LOOP_H_

#include <functional>
#include <memory>
#include <thread>

#include "grpcpp/completion_queue.h"

namespace baton {

// Thread-safe.
class EventLoop {
 public:
  // What gRPC is given as the tag of an asynchronous operation. It belongs to who starts the
  // operation, and to one operation at a time. `done` is called once on the loop's thread, with
  // gRPC's verdict, and destroyed: what it captures lives as long as the operation is under way. It
  // must not wait for anything.
  struct Operation {
    std::function<void(bool ok)> done;
  };

  explicit EventLoop(
      std::unique_ptr<grpc::CompletionQueue> queue = std::make_unique<grpc::CompletionQueue>());
  // Waits for the operations under way, which is for ever if nobody has cancelled them. REQUIRES:
  // no other is started any more.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  grpc::CompletionQueue& queue() { return *queue_; }

 private:
  void Run();

  const std::unique_ptr<grpc::CompletionQueue> queue_;
  std::thread thread_;
};

}  // namespace baton

#endif  // BATON_PROTO_EVENT_LOOP_H_
