#include "proto/paths.h"

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace baton {
namespace {

constexpr char kUnixPrefix[] = "unix:";

}  // namespace

std::string ResolvePath(const std::string& path) {
  const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (path.empty() || path[0] == '/' || directory == nullptr) return path;
  return absl::StrCat(directory, "/", path);
}

std::string ResolveAddress(const std::string& address) {
  if (!absl::StartsWith(address, kUnixPrefix)) return address;
  return absl::StrCat(kUnixPrefix, ResolvePath(address.substr(sizeof(kUnixPrefix) - 1)));
}

}  // namespace baton
