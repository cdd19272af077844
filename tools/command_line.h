// What the command lines of small tools share: paths, usage errors, exit codes.
#ifndef BATON_TOOLS_COMMAND_LINE_H_
#define BATON_TOOLS_COMMAND_LINE_H_

#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"

namespace baton {

// Relative paths count from where the person stands, also under `bazel run`.
std::string FromWorkingDirectory(const std::string& path);

// The exit code where there is nothing more to do: help was asked for (0), or the usage is wrong
// (2), which is then told in one line on stderr.
std::optional<int> ParseCommandLine(CLI::App& app, int argc, char** argv);

// The exit code of a status; an error is told in one line on stderr.
int ExitCode(const absl::Status& status);

}  // namespace baton

#endif  // BATON_TOOLS_COMMAND_LINE_H_
