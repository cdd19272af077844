// CHECK is for our own bugs alone: what a user, a file or a peer can cause is an absl::Status.
#ifndef BATON_ENGINE_BASE_CHECK_H_
#define BATON_ENGINE_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)

#endif  // BATON_ENGINE_BASE_CHECK_H_
