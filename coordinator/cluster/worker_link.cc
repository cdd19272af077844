#include "coordinator/cluster/worker_link.h"

#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "proto/methods.h"
#include "proto/transport.h"

namespace baton {
namespace {

// A socket closes a moment before its process can be waited for.
constexpr std::chrono::milliseconds kEndGrace{200};
constexpr std::chrono::milliseconds kEndPoll{5};

std::string FullName(const WorkerEndpoint& endpoint, const LayerRange& layers) {
  return absl::StrCat(endpoint.name, " (", endpoint.detail, endpoint.detail.empty() ? "" : ", ",
                      "layers ", layers.begin, "-", layers.end - 1, ")");
}

}  // namespace

WorkerLink::WorkerLink(WorkerEndpoint endpoint, LayerRange layers, EventLoop& loop)
    : endpoint_(std::move(endpoint)),
      name_(FullName(endpoint_, layers)),
      neighbour_address_(endpoint_.address),
      channel_(Dial(endpoint_.address)),
      stub_(wire::Worker::NewStub(channel_)),
      loop_(loop) {}

WorkerLink::~WorkerLink() { Release(); }

absl::Status WorkerLink::Hello(const Versions& versions) {
  grpc::ClientContext context;
  SetDeadline(context, kDialTimeout);
  wire::HelloRequest request;
  ToWire(versions, request.mutable_versions());
  wire::HelloReply reply;
  const grpc::Status status = stub_->Hello(&context, request, &reply);
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return absl::UnavailableError(absl::StrCat(endpoint_.name, " is no Baton worker"));
  }
  if (!status.ok()) {
    if (const auto ended = AwaitEnd()) return Blame(absl::UnavailableError(""));
    return absl::UnavailableError(
        absl::StrCat("cannot reach ", endpoint_.name, ": ", FromGrpc(status).message()));
  }
  RETURN_IF_ERROR(CheckVersions(versions, reply.versions(), endpoint_.name));
  if (reply.advertised_address().empty()) return absl::OkStatus();
  const absl::StatusOr<Address> address = ParseAddress(reply.advertised_address());
  if (!address.ok()) return Blame(address.status());
  neighbour_address_ = address->ToString();
  return absl::OkStatus();
}

void WorkerLink::Lease(const StageConfig& config, Events events) {
  lease_ = ClientFrameStream::Open(channel_, kConfigureMethod, loop_);
  lease_->Write(EncodeMessage(ToWire(config)));
  thread_ = std::thread([this, events = std::move(events)] { HoldLease(events); });
}

void WorkerLink::HoldLease(const Events& events) {
  grpc::ByteBuffer frame;
  absl::Status wrong;
  while (lease_->Read(&frame)) {
    wire::ConfigureEvent event;
    if (!DecodeMessage(frame, &event)) {
      wrong = absl::InvalidArgumentError("sent a wrong message about its stage");
      break;
    }
    if (event.has_progress()) {
      events.progress(event.progress().bytes_done(), event.progress().bytes_total());
    } else if (event.has_loaded()) {
      events.loaded();
    } else if (event.has_failed()) {
      events.failed(Named(FromWire(event.failed().failure())), event.failed().neighbour());
    }
  }
  // A worker that sends nonsense is not waited for.
  if (!wrong.ok()) lease_->Cancel();
  const absl::Status status = FromGrpc(lease_->Finish());
  if (!wrong.ok()) return events.failed(Named(wrong), /*indirect=*/false);
  const bool lost = status.ok() || absl::IsUnavailable(status);
  const absl::Status connection_lost = absl::UnavailableError(
      absl::StrCat("connection lost (", status.ok() ? "closed" : status.message(), ")"));
  events.failed(Blame(lost ? connection_lost : status), /*indirect=*/false);
}

void WorkerLink::Release() {
  if (lease_ != nullptr) lease_->Cancel();
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<StageStats> WorkerLink::Stats(uint64_t epoch) {
  grpc::ClientContext context;
  SetDeadline(context, kStatsTimeout);
  wire::StatsRequest request;
  request.set_epoch(epoch);
  wire::StageStats reply;
  const absl::Status status = FromGrpc(stub_->Stats(&context, request, &reply));
  if (!status.ok()) return Blame(status);
  return FromWire(reply);
}

std::optional<std::string> WorkerLink::AwaitEnd() const {
  if (endpoint_.how_it_ended == nullptr) return std::nullopt;
  const auto deadline = std::chrono::steady_clock::now() + kEndGrace;
  for (;;) {
    if (auto ended = endpoint_.how_it_ended()) return ended;
    if (std::chrono::steady_clock::now() > deadline) return std::nullopt;
    std::this_thread::sleep_for(kEndPoll);
  }
}

absl::Status WorkerLink::Blame(const absl::Status& status) const {
  if (absl::IsUnavailable(status)) {
    if (const auto ended = AwaitEnd()) {
      return absl::UnavailableError(absl::StrCat(name_, " ", *ended));
    }
  }
  return Named(status);
}

absl::Status WorkerLink::Named(const absl::Status& status) const {
  return absl::Status(status.code(), absl::StrCat(name_, ": ", status.message()));
}

}  // namespace baton
