#include "proto/call_server.h"

#include <atomic>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpcpp/server_builder.h"

namespace baton {
namespace {

// What a handler's last frames get to leave in, over whatever link. A peer that takes longer is
// dead.
constexpr std::chrono::milliseconds kWriteGrace = kKeepaliveTimeout;

// Calls at once, of all connections: a thread each.
constexpr size_t kMaxCalls = 2 * kMaxServerStreams;

}  // namespace

class CallServer::Call final : public ServerFrameStream {
 public:
  Call() : stream_(&context_) { SetEnds(&stream_, &stream_); }

  bool IsCancelled() const override { return is_cancelled_; }
  const std::string& method() const { return context_.method(); }

  void Request(grpc::AsyncGenericService& service, grpc::ServerCompletionQueue& queue,
               std::function<void(bool ok)> accepted) {
    ended_.done = [this, self = shared_from_this()](bool) {
      is_cancelled_ = context_.IsCancelled();
    };
    accepted_.done = [this, self = shared_from_this(), accepted = std::move(accepted)](bool ok) {
      // Of a call that never came no end is told either.
      if (!ok) ended_.done = nullptr;
      accepted(ok);
    };
    context_.AsyncNotifyWhenDone(&ended_);
    service.RequestCall(&context_, &stream_, &queue, &queue, &accepted_);
  }

  void StartFinish(const absl::Status& status, std::function<void()> finished) {
    finish_.done = [self = shared_from_this(), finished = std::move(finished)](bool) {
      finished();
    };
    stream_.Finish(ToGrpc(status), &finish_);
  }

  // After the handler has returned.
  void Finish(const absl::Status& status) {
    FinishWriting(kWriteGrace);
    const auto finished = std::make_shared<std::promise<void>>();
    StartFinish(status, [finished] { finished->set_value(); });
    finished->get_future().wait();
  }

 private:
  void CancelCall() override { context_.TryCancel(); }

  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_;
  std::atomic<bool> is_cancelled_{false};
  EventLoop::Operation accepted_, ended_, finish_;
};

CallServer::CallServer(Handler handler) : handler_(std::move(handler)) {}

CallServer::~CallServer() { Stop(std::chrono::milliseconds(0)); }

bool CallServer::Start(Address& address) {
  grpc::ServerBuilder builder;
  int port = 0;
  SetUpServer(builder, address, &port);
  builder.RegisterAsyncGenericService(&service_);
  std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  queue_ = queue.get();
  server_ = builder.BuildAndStart();
  loop_ = std::make_unique<EventLoop>(std::move(queue));
  if (server_ == nullptr || port == 0) return false;
  if (!address.is_unix) address.port = port;
  Accept();
  return true;
}

void CallServer::Accept() {
  auto call = std::make_shared<Call>();
  call->Request(service_, *queue_,
                [this, weak = std::weak_ptr<Call>(call)](bool ok) { OnAccepted(weak.lock(), ok); });
}

void CallServer::OnAccepted(const std::shared_ptr<Call>& call, bool ok) {
  if (!ok) return;  // the server stops
  std::vector<std::thread> finished;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    // From then on the queue may be shut down, which takes no new operation.
    if (is_stopping_) return call->Cancel();
    Accept();
    finished.swap(finished_);
    if (running_.size() < kMaxCalls) {
      const uint64_t id = next_id_++;
      running_.emplace(id, [this, id, call] { Run(id, call); });
    } else {
      call->StartFinish(
          absl::ResourceExhaustedError(absl::StrCat("more than ", kMaxCalls, " calls at once")),
          [] {});
    }
  }
  for (std::thread& thread : finished) thread.join();
}

void CallServer::Run(uint64_t id, const std::shared_ptr<Call>& call) {
  call->Finish(handler_(call->method(), call));
  std::lock_guard<std::mutex> lock(mutex_);
  finished_.push_back(std::move(running_.extract(id).mapped()));
  ended_.notify_all();
}

void CallServer::Stop(std::chrono::milliseconds grace) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    is_stopping_ = true;
  }
  if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + grace);
  std::unique_lock<std::mutex> lock(mutex_);
  ended_.wait(lock, [this] { return running_.empty(); });
  std::vector<std::thread> finished;
  finished.swap(finished_);
  lock.unlock();
  for (std::thread& thread : finished) thread.join();
}

}  // namespace baton
