// Where a worker may listen as long as links are not encrypted.
#ifndef BATON_WORKER_LISTEN_RULES_H_
#define BATON_WORKER_LISTEN_RULES_H_

#include "absl/status/status.h"
#include "proto/transport.h"

namespace baton {

// InvalidArgument for an address that other machines can reach, or that has no such host.
absl::Status CheckListensLocally(const Address& address);

}  // namespace baton

#endif  // BATON_WORKER_LISTEN_RULES_H_
