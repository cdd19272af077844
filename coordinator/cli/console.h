// The streams that people and scripts see: results on stdout, everything else on stderr.
#ifndef BATON_COORDINATOR_CLI_CONSOLE_H_
#define BATON_COORDINATOR_CLI_CONSOLE_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace baton {

// Standard output without a buffer: a token is seen when it is there. Not thread-safe.
class Output {
 public:
  // False once nobody reads any more, or writing failed.
  bool Write(absl::string_view text);
  // Nobody reads: no error, but nothing to go on for.
  bool closed() const { return closed_; }
  const absl::Status& status() const { return status_; }
  // Ends a line that is seen by a person; a script gets no byte that is not of the text.
  void EndLineOnTerminal();

 private:
  bool closed_ = false;
  bool at_line_start_ = true;
  absl::Status status_;
};

// To stderr. A line break is added.
void Say(absl::string_view line);

// Lines of standard input, as long as nobody interrupts.
class LineReader {
 public:
  // Without its line break; nothing at the end of the input, or after an interrupt.
  std::optional<std::string> Read();

 private:
  bool Fill();
  std::string buffer_;
  bool ended_ = false;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_CONSOLE_H_
