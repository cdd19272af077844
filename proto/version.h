// What two processes must have in common before they may share a model.
#ifndef BATON_PROTO_VERSION_H_
#define BATON_PROTO_VERSION_H_

#include <cstdint>

namespace baton {

struct Versions {
  // Of the messages and their order. Raise it with any change that an older build would misread.
  uint32_t protocol = 6;
  // Of the numeric contract. Raise it with any change that changes a bit of any result.
  uint32_t numeric = 2;
};

}  // namespace baton

#endif  // BATON_PROTO_VERSION_H_
