#include "proto/transport.h"

#include <climits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "google/protobuf/stubs/logging.h"
#include "grpc/support/log.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "proto/bounds.h"
#include "proto/handshake.h"

namespace baton {
namespace {

std::shared_ptr<grpc::ChannelCredentials> ClientCredentials() {
  return grpc::InsecureChannelCredentials();
}

std::shared_ptr<grpc::ServerCredentials> ServerCredentials() {
  return grpc::InsecureServerCredentials();
}

// What a stream may have under way from the start. By itself gRPC finds out by pings around
// messages, which cost more than the small messages of an answer. Covers a round trip of 50 ms
// at 2.5 gigabits per second.
constexpr int kStreamWindowBytes = 16 << 20;

constexpr char kUnixPrefix[] = "unix:";

// Of both sides. `set` is called with the name of an argument and its value.
template <typename Set>
void SetSharedArguments(const Set& set) {
  set(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(kKeepaliveInterval.count()));
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, static_cast<int>(kKeepaliveTimeout.count()));
  set(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  set(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  set(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  set(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
}

}  // namespace

std::string Address::ToString() const {
  if (is_unix) return absl::StrCat(kUnixPrefix, host);
  const bool ipv6 = host.find(':') != std::string::npos;
  return ipv6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

absl::StatusOr<Address> ParseAddress(absl::string_view text) {
  const absl::Status wrong = absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is not an address; expected HOST:PORT, [IPV6]:PORT or unix:PATH"));
  Address address;
  if (text.size() > kMaxNameBytes) return wrong;
  if (absl::StartsWith(text, kUnixPrefix)) {
    address.is_unix = true;
    address.host = std::string(text.substr(sizeof(kUnixPrefix) - 1));
    if (address.host.empty()) return wrong;
    return address;
  }
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return wrong;
  absl::string_view host = text.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (absl::StrContains(host, ":")) {
    return wrong;
  }
  const absl::string_view port = text.substr(colon + 1);
  if (host.empty() || absl::StrContains(host, "/") || port.empty() ||
      !absl::ascii_isdigit(port[0]) || !absl::SimpleAtoi(port, &address.port) ||
      address.port > 65535) {
    return wrong;
  }
  address.host = std::string(host);
  return address;
}

std::shared_ptr<grpc::Channel> Dial(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  SetSharedArguments([&](const char* name, int value) { arguments.SetInt(name, value); });
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kDialTimeout.count());  // of one attempt
  // A worker is dialled as it was named, whatever proxy the environment is set up for.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Workers share no connection: one that dies must not be mistaken for another.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, ClientCredentials(), arguments);
}

void SetUpServer(grpc::ServerBuilder& builder, const Address& address, int* port) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  SetSharedArguments([&](const char* name, int value) { builder.AddChannelArgument(name, value); });
  // The clients' pings are as frequent as ours: by default they would be taken for an attack.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kKeepaliveInterval.count() / 2);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxServerStreams);
  // A second worker on the same port is an error, not a rival for its connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(address.ToString(), ServerCredentials(), port);
}

void SetDeadline(grpc::ClientContext& context, std::chrono::milliseconds timeout) {
  context.set_deadline(std::chrono::system_clock::now() + timeout);
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // gRPC's codes are Abseil's.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), ToWire(status).message());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  wire::Failure failure;
  failure.set_code(status.error_code());
  std::string text = status.error_message();
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    if (absl::StartsWith(text, "DNS resolution failed")) text = "there is no such host";
    // "failed to connect to all addresses; last error: UNKNOWN: ipv4:...: Connection refused"
    const size_t last = text.rfind(": ");
    if (absl::StrContains(text, "last error: ") && last != std::string::npos) {
      text = text.substr(last + 2);
    }
  } else if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    text = "no answer in time";
  }
  failure.set_message(text);
  return FromWire(failure);
}

void CalmTransportLibraries() {
  gpr_set_log_function([](gpr_log_func_args*) {});
  google::protobuf::SetLogHandler(nullptr);
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace baton
