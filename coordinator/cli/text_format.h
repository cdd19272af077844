// Numbers and messages as people read them.
#ifndef BATON_COORDINATOR_CLI_TEXT_FORMAT_H_
#define BATON_COORDINATOR_CLI_TEXT_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace baton {

// "512 B", "93.8 MiB": three digits and a binary unit.
std::string HumanBytes(uint64_t bytes);

// A table with a line per row, whose cells stand in columns two blanks apart: the first
// `left_columns` to the left, the others, numbers, to the right. No blanks at the end of a line.
// Every row has as many cells as the first.
std::string AlignColumns(const std::vector<std::vector<std::string>>& rows, size_t left_columns);

// Line breaks and other control characters become spaces: an error is one line, whatever a file or
// a peer has put in it.
std::string OneLine(absl::string_view message);

// `json` on a line of its own. Text of models need not be UTF-8; JSON is.
std::string JsonLine(const nlohmann::ordered_json& json);

// All bytes of a file or pipe. NotFound, PermissionDenied and so on name the path; InvalidArgument
// for one that is larger than a tokenizer takes.
absl::StatusOr<std::string> ReadText(const std::string& path);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_TEXT_FORMAT_H_
