// Numbers and messages as people read them.
#ifndef BATON_COORDINATOR_CLI_TEXT_FORMAT_H_
#define BATON_COORDINATOR_CLI_TEXT_FORMAT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

// "512 B", "93.8 MiB": three digits and a binary unit.
std::string HumanBytes(uint64_t bytes);

// Line breaks and other control characters become spaces: an error is one line, whatever a file or
// a peer has put in it.
std::string OneLine(absl::string_view message);

// All bytes of a file or pipe. NotFound, PermissionDenied and so on name the path; InvalidArgument
// for one that is larger than a tokenizer takes.
absl::StatusOr<std::string> ReadText(const std::string& path);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_TEXT_FORMAT_H_
