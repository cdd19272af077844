#include "proto/event_loop.h"

#include <utility>

namespace baton {

EventLoop::EventLoop(std::unique_ptr<grpc::CompletionQueue> queue)
    : queue_(std::move(queue)), thread_([this] { Run(); }) {}

EventLoop::~EventLoop() {
  queue_->Shutdown();
  thread_.join();
}

void EventLoop::Run() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) {
    const auto done = std::exchange(static_cast<Operation*>(tag)->done, nullptr);
    done(ok);
  }
}

}  // namespace baton
