// How two processes of Baton connect: addresses, credentials, keepalive, deadlines, message sizes.
// The one place where a link is made, and so the one place where it will be encrypted. Today links
// over TCP are neither encrypted nor authenticated: anybody who reaches a worker's port may use it.
#ifndef BATON_PROTO_TRANSPORT_H_
#define BATON_PROTO_TRANSPORT_H_

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/server_builder.h"

namespace baton {

// Reaching a peer and saying hello. A refused connection is known at once; this is for peers that
// do not answer at all, and leaves time to say so within two seconds.
inline constexpr std::chrono::milliseconds kDialTimeout{1500};
// A question about counters: it waits for the step that the stage is computing.
inline constexpr std::chrono::milliseconds kStatsTimeout{10000};
// A quiet link is asked for a sign of life this often, by both sides ...
inline constexpr std::chrono::milliseconds kKeepaliveInterval{5000};
// ... and taken for dead when none comes for this long. A loaded machine may be slow to answer.
inline constexpr std::chrono::milliseconds kKeepaliveTimeout{10000};
// Streams of a connection that a server serves at once: a thread each. A worker needs three, and as
// many for the configuration that replaces the present one.
inline constexpr int kMaxServerStreams = 32;

// "host:port" (the last colon; IPv6 in brackets) or "unix:/path".
struct Address {
  bool is_unix = false;
  std::string host;  // without brackets; for Unix sockets the path
  int port = 0;
  std::string ToString() const;
};
// InvalidArgument quoting the text and saying what an address looks like.
absl::StatusOr<Address> ParseAddress(absl::string_view text);

// A channel of its own to the worker; connects when it is first used.
std::shared_ptr<grpc::Channel> Dial(const std::string& address);
// Sets all options of a server that listens on `address`; *port gets the bound port once built.
void SetUpServer(grpc::ServerBuilder& builder, const Address& address, int* port);
void SetDeadline(grpc::ClientContext& context, std::chrono::milliseconds timeout);

grpc::Status ToGrpc(const absl::Status& status);
// The text in one short sentence where gRPC tells a story ("connection refused").
absl::Status FromGrpc(const grpc::Status& status);

// The libraries' own log lines go nowhere: errors are ours to tell. And Debian's Abseil, built for
// debugging, no longer looks for deadlocks whenever gRPC takes a lock, which cost a message a tenth
// of its time. Call before any other use.
void CalmTransportLibraries();

}  // namespace baton

#endif  // BATON_PROTO_TRANSPORT_H_
