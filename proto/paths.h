// Paths as people type them, of files and of sockets.
#ifndef BATON_PROTO_PATHS_H_
#define BATON_PROTO_PATHS_H_

#include <string>

namespace baton {

// A relative path is meant from where the person stands: `bazel run` starts programs elsewhere, and
// says so in the environment.
std::string ResolvePath(const std::string& path);

// The same for the path in the address of a Unix socket ("unix:PATH"); other addresses stay as they
// are.
std::string ResolveAddress(const std::string& address);

}  // namespace baton

#endif  // BATON_PROTO_PATHS_H_
