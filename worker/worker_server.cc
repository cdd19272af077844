#include "worker/worker_server.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "proto/bounds.h"
#include "proto/call_server.h"
#include "proto/frame.h"
#include "proto/methods.h"
#include "proto/transport.h"
#include "proto/wire.pb.h"
#include "spdlog/spdlog.h"
#include "worker/stage_runner.h"

namespace baton {
namespace {

// A progress bar needs no more.
constexpr std::chrono::milliseconds kProgressInterval{50};
// What streams get to end in when the server stops; then they are cut.
constexpr std::chrono::milliseconds kStopGrace{100};

// One coordinator's hold on this process.
struct Lease {
  StageConfig config;
  std::shared_ptr<ServerFrameStream> stream;
  std::shared_ptr<StageRunner> runner;  // of the server's mutex; null until loaded

  void Send(const wire::ConfigureEvent& event) { stream->Write(EncodeMessage(event)); }
  void SendFailure(const absl::Status& failure, bool neighbour) {
    spdlog::info("epoch {}: {}", config.epoch, std::string(failure.message()));
    wire::ConfigureEvent event;
    *event.mutable_failed()->mutable_failure() = ToWire(failure);
    event.mutable_failed()->set_neighbour(neighbour);
    Send(event);
  }
};

class WorkerServerImpl final : public WorkerServer {
 public:
  explicit WorkerServerImpl(WorkerServerOptions options)
      : options_(std::move(options)),
        server_(
            [this](const std::string& method, const std::shared_ptr<ServerFrameStream>& stream) {
              return Serve(method, stream);
            }) {}
  ~WorkerServerImpl() override { Stop(); }

  absl::Status Listen();
  const std::string& address() const override { return address_; }
  void Stop() override;

 private:
  absl::Status Serve(const std::string& method, const std::shared_ptr<ServerFrameStream>& stream);
  absl::Status Hello(FrameStream& stream);
  absl::Status Configure(const std::shared_ptr<ServerFrameStream>& stream);
  absl::Status Stats(FrameStream& stream);
  absl::Status ServeEdge(Edge edge, const std::shared_ptr<ServerFrameStream>& stream);

  absl::Status ReadFirst(FrameStream& stream, grpc::ByteBuffer* frame);
  template <typename Message>
  absl::Status ReadMessage(FrameStream& stream, Message* message);
  absl::Status TakeLease(const std::shared_ptr<Lease>& lease);
  bool Holds(const std::shared_ptr<Lease>& lease);
  absl::Status Load(const std::shared_ptr<Lease>& lease);
  void EndLease(const std::shared_ptr<Lease>& lease);
  absl::StatusOr<std::shared_ptr<StageRunner>> FindRunner(uint64_t epoch);

  const WorkerServerOptions options_;
  std::string address_;
  std::mutex load_mutex_;  // one load at a time: memory for two need not be there
  std::mutex mutex_;       // of what follows
  bool stopped_ = false;
  std::shared_ptr<Lease> lease_;  // null: free
  CallServer server_;             // the last member: its calls use all others
};

// The address as bind() and connect() take it; false where it has no such form.
bool ToSockaddr(const Address& address, sockaddr_storage* out, socklen_t* size) {
  *out = {};
  if (address.is_unix) {
    auto* name = reinterpret_cast<sockaddr_un*>(out);
    if (address.host.size() >= sizeof(name->sun_path)) return false;
    name->sun_family = AF_UNIX;
    std::memcpy(name->sun_path, address.host.data(), address.host.size());
    *size = sizeof(*name);
    return true;
  }
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.host.c_str(), absl::StrCat(address.port).c_str(), &hints, &found) != 0) {
    return false;
  }
  std::memcpy(out, found->ai_addr, found->ai_addrlen);
  *size = found->ai_addrlen;
  freeaddrinfo(found);
  return true;
}

// Tries what gRPC has failed to do, because it does not tell why.
std::string BindError(const Address& address) {
  sockaddr_storage name;
  socklen_t size;
  if (!ToSockaddr(address, &name, &size)) return "there is no such address";
  const int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool bound = fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&name), size) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (bound && address.is_unix) unlink(address.host.c_str());
  if (bound) return "the address cannot be bound";
  return error == EADDRINUSE ? "the port is in use" : std::strerror(error);
}

// gRPC takes over a socket file even from a server that is alive.
absl::Status CheckUnixPathIsFree(const Address& address) {
  sockaddr_storage name;
  socklen_t size;
  if (!ToSockaddr(address, &name, &size)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the path of ", address.ToString(), " has ", address.host.size(),
                     " bytes, a Unix socket's has at most ", sizeof(sockaddr_un::sun_path) - 1));
  }
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool answered = fd >= 0 && connect(fd, reinterpret_cast<sockaddr*>(&name), size) == 0;
  if (fd >= 0) close(fd);
  if (!answered) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address.ToString(), ": the socket is in use"));
}

absl::Status WorkerServerImpl::Listen() {
  ASSIGN_OR_RETURN(Address address, ParseAddress(options_.listen));
  if (address.is_unix) RETURN_IF_ERROR(CheckUnixPathIsFree(address));
  // A Unix socket is for its owner alone.
  const mode_t old_mask = umask(0077);
  const bool started = server_.Start(address);
  umask(old_mask);
  if (!started) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address.ToString(), ": ", BindError(address)));
  }
  address_ = address.ToString();
  return absl::OkStatus();
}

void WorkerServerImpl::Stop() {
  std::shared_ptr<StageRunner> runner;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    if (lease_ != nullptr) runner = lease_->runner;
  }
  if (runner != nullptr) runner->Stop();
  server_.Stop(kStopGrace);
}

absl::Status WorkerServerImpl::ReadFirst(FrameStream& stream, grpc::ByteBuffer* frame) {
  if (!stream.ReadWithin(options_.first_message_patience, frame)) {
    return absl::CancelledError("no message came");
  }
  // Before it is parsed: a few bytes of protobuf can be many times as many in memory.
  if (frame->Length() <= kMaxControlBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a first message of ", frame->Length(),
                                                 " bytes; expected at most ", kMaxControlBytes));
}

// The one message of a call that has one.
template <typename Message>
absl::Status WorkerServerImpl::ReadMessage(FrameStream& stream, Message* message) {
  grpc::ByteBuffer frame;
  RETURN_IF_ERROR(ReadFirst(stream, &frame));
  if (DecodeMessage(frame, message)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("what came is not a ", message->GetTypeName(),
                                                 " but ", frame.Length(), " other bytes"));
}

absl::Status WorkerServerImpl::Serve(const std::string& method,
                                     const std::shared_ptr<ServerFrameStream>& stream) {
  if (method == kHelloMethod) return Hello(*stream);
  if (method == kConfigureMethod) return Configure(stream);
  if (method == kStatsMethod) return Stats(*stream);
  if (method == kChainMethod) return ServeEdge(Edge::kChain, stream);
  if (method == kResultsMethod) return ServeEdge(Edge::kResults, stream);
  if (method == kHeadMethod) return ServeEdge(Edge::kHead, stream);
  return absl::UnimplementedError("a worker has no such call");
}

absl::Status WorkerServerImpl::Hello(FrameStream& stream) {
  wire::HelloRequest request;
  RETURN_IF_ERROR(ReadMessage(stream, &request));
  wire::HelloReply reply;
  ToWire(options_.versions, reply.mutable_versions());
  reply.set_advertised_address(options_.advertised_address);
  stream.Write(EncodeMessage(reply));
  return absl::OkStatus();
}

absl::Status WorkerServerImpl::Configure(const std::shared_ptr<ServerFrameStream>& stream) {
  wire::ConfigureRequest request;
  RETURN_IF_ERROR(ReadMessage(*stream, &request));
  auto lease = std::make_shared<Lease>();
  ASSIGN_OR_RETURN(lease->config, FromWire(request, options_.versions));
  lease->stream = stream;
  absl::Status status = TakeLease(lease);
  if (status.ok()) status = Load(lease);
  grpc::ByteBuffer frame;
  if (status.ok() && stream->Read(&frame)) {
    status = absl::InvalidArgumentError("a lease is configured once");
  }
  EndLease(lease);
  return status;
}

absl::Status WorkerServerImpl::TakeLease(const std::shared_ptr<Lease>& lease) {
  std::shared_ptr<Lease> old;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return absl::UnavailableError("this worker is stopping");
    if (lease_ != nullptr && lease->config.epoch == lease_->config.epoch) {
      return absl::AbortedError("this worker is named twice, under two addresses");
    }
    if (lease_ != nullptr && lease->config.epoch < lease_->config.epoch) {
      return absl::AbortedError(absl::StrCat("held by a coordinator of epoch ",
                                             lease_->config.epoch, ", this one is of epoch ",
                                             lease->config.epoch));
    }
    old = std::exchange(lease_, lease);
  }
  if (old == nullptr) return absl::OkStatus();
  old->SendFailure(absl::AbortedError(
                       absl::StrCat("taken over by a coordinator of epoch ", lease->config.epoch)),
                   /*neighbour=*/false);
  std::shared_ptr<StageRunner> runner;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    runner = std::exchange(old->runner, nullptr);
  }
  if (runner != nullptr) runner->Stop();
  return absl::OkStatus();
}

bool WorkerServerImpl::Holds(const std::shared_ptr<Lease>& lease) {
  std::lock_guard<std::mutex> lock(mutex_);
  return lease_ == lease && !stopped_;
}

absl::Status WorkerServerImpl::Load(const std::shared_ptr<Lease>& lease) {
  std::lock_guard<std::mutex> load_lock(load_mutex_);
  std::mutex progress_mutex;
  auto last_event = std::chrono::steady_clock::now() - kProgressInterval;
  const auto progress = [&](uint64_t done, uint64_t total) {
    std::lock_guard<std::mutex> lock(progress_mutex);
    const auto now = std::chrono::steady_clock::now();
    if (now - last_event < kProgressInterval && done != total) return true;
    last_event = now;
    wire::ConfigureEvent event;
    event.mutable_progress()->set_bytes_done(done);
    event.mutable_progress()->set_bytes_total(total);
    lease->Send(event);
    return !lease->stream->IsCancelled() && Holds(lease);
  };
  ASSIGN_OR_RETURN(std::unique_ptr<Stage> stage, options_.loader(lease->config, progress));
  wire::ConfigureEvent loaded;
  *loaded.mutable_loaded() = ToWire(stage->Stats());
  auto runner = std::make_shared<StageRunner>(
      lease->config, std::move(stage), server_.loop(),
      [weak = std::weak_ptr<Lease>(lease)](const absl::Status& failure, bool neighbour) {
        if (const auto lease = weak.lock()) lease->SendFailure(failure, neighbour);
      });
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (lease_ != lease || stopped_) return absl::AbortedError("taken over while loading");
    lease->runner = std::move(runner);
  }
  spdlog::info("epoch {}: layers {}-{} are loaded", lease->config.epoch,
               lease->config.role.layers.begin, lease->config.role.layers.end - 1);
  lease->Send(loaded);
  return absl::OkStatus();
}

void WorkerServerImpl::EndLease(const std::shared_ptr<Lease>& lease) {
  {
    // The next stage is loaded when this one's memory is free: it may be in the middle of a step.
    std::lock_guard<std::mutex> load_lock(load_mutex_);
    std::shared_ptr<StageRunner> runner;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      runner = std::exchange(lease->runner, nullptr);
    }
    if (runner != nullptr) runner->Stop();
  }
  // Only now free for others: its memory is.
  std::lock_guard<std::mutex> lock(mutex_);
  if (lease_ == lease) lease_ = nullptr;
}

absl::StatusOr<std::shared_ptr<StageRunner>> WorkerServerImpl::FindRunner(uint64_t epoch) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (lease_ == nullptr || lease_->runner == nullptr) {
    return absl::FailedPreconditionError("this worker is no stage at present");
  }
  if (epoch != lease_->config.epoch) {
    return absl::AbortedError(absl::StrCat("this worker is of epoch ", lease_->config.epoch,
                                           ", the question of epoch ", epoch));
  }
  return lease_->runner;
}

absl::Status WorkerServerImpl::Stats(FrameStream& stream) {
  wire::StatsRequest request;
  RETURN_IF_ERROR(ReadMessage(stream, &request));
  ASSIGN_OR_RETURN(const std::shared_ptr<StageRunner> runner, FindRunner(request.epoch()));
  ASSIGN_OR_RETURN(const StageStats stats, runner->Stats(kStatsTimeout));
  stream.Write(EncodeMessage(ToWire(stats)));
  return absl::OkStatus();
}

absl::Status WorkerServerImpl::ServeEdge(Edge edge,
                                         const std::shared_ptr<ServerFrameStream>& stream) {
  grpc::ByteBuffer frame;
  wire::EdgeHello hello;
  RETURN_IF_ERROR(ReadFirst(*stream, &frame));
  RETURN_IF_ERROR(DecodeFrame(frame, &hello, nullptr));
  ASSIGN_OR_RETURN(const std::shared_ptr<StageRunner> runner, FindRunner(hello.epoch()));
  RETURN_IF_ERROR(CheckEdgeHello(runner->config(), hello));
  return runner->Serve(edge, stream);
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerServer>> WorkerServer::Start(WorkerServerOptions options) {
  auto server = std::make_unique<WorkerServerImpl>(std::move(options));
  RETURN_IF_ERROR(server->Listen());
  return std::unique_ptr<WorkerServer>(std::move(server));
}

}  // namespace baton
