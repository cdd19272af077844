#include "worker/listen_rules.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"

namespace baton {
namespace {

bool IsLoopback(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto* ip = reinterpret_cast<const sockaddr_in*>(address);
    return (ntohl(ip->sin_addr.s_addr) >> 24) == 127;
  }
  return address->sa_family == AF_INET6 &&
         IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
}

}  // namespace

absl::Status CheckListensLocally(const Address& address) {
  if (address.is_unix) return absl::OkStatus();
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(address.host.c_str(), nullptr, &hints, &found)) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot listen on ", address.ToString(), ": ", gai_strerror(error)));
  }
  bool local = true;
  for (const addrinfo* it = found; it != nullptr; it = it->ai_next) {
    local = local && IsLoopback(it->ai_addr);
  }
  freeaddrinfo(found);
  if (local) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--listen ", address.ToString(),
                   " can be reached from other machines, and links are not encrypted yet; "
                   "--insecure accepts that"));
}

}  // namespace baton
