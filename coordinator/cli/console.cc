#include "coordinator/cli/console.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "coordinator/cli/interrupt.h"

namespace baton {

bool Output::Write(absl::string_view text) {
  while (!text.empty() && status_.ok() && !closed_) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      at_line_start_ = text.back() == '\n';
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EPIPE) {
      closed_ = true;
    } else if (errno != EINTR) {
      status_ = absl::ErrnoToStatus(errno, "cannot write to standard output");
    }
  }
  return status_.ok() && !closed_;
}

void Output::EndLineOnTerminal() {
  if (!at_line_start_ && isatty(STDOUT_FILENO)) Write("\n");
}

void Say(absl::string_view line) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

std::optional<std::string> LineReader::Read() {
  size_t end;
  while ((end = buffer_.find('\n')) == std::string::npos) {
    if (!Fill()) {
      if (Interrupted() || buffer_.empty()) return std::nullopt;
      end = buffer_.size();
      break;
    }
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  return line;
}

bool LineReader::Fill() {
  pollfd waits[2] = {{STDIN_FILENO, POLLIN, 0}, {InterruptFd(), POLLIN, 0}};
  while (!ended_ && !Interrupted()) {
    if (poll(waits, 2, -1) < 0 && errno != EINTR) break;
    if (waits[0].revents == 0) continue;
    char piece[4096];
    const ssize_t count = read(STDIN_FILENO, piece, sizeof(piece));
    if (count > 0) {
      buffer_.append(piece, static_cast<size_t>(count));
      return true;
    }
    if (count == 0 || errno != EINTR) break;
  }
  ended_ = true;
  return false;
}

}  // namespace baton
