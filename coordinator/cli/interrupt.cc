#include "coordinator/cli/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "engine/base/check.h"

namespace baton {
namespace {

constexpr int kExitError = 1;

// What the handler touches: a flag, and a pipe that wakes those who wait.
std::atomic<bool> interrupted{false};
int wake_pipe[2] = {-1, -1};

std::mutex cancel_mutex;
std::function<void()>* cancel_function = nullptr;

// A second signal, whichever it is, finds nobody who handles it.
void HandleSignal(int) {
  const int saved_errno = errno;
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  interrupted = true;
  const char byte = 0;
  // The pipe holds far more than the bytes that can come.
  [[maybe_unused]] const ssize_t written = write(wake_pipe[1], &byte, 1);
  errno = saved_errno;
}

void WaitAndCancel() {
  pollfd wake = {wake_pipe[0], POLLIN, 0};
  while (poll(&wake, 1, -1) < 0 && errno == EINTR) {
  }
  const std::lock_guard<std::mutex> lock(cancel_mutex);
  if (cancel_function != nullptr) {
    (*cancel_function)();
    return;
  }
  constexpr char kMessage[] = "error: interrupted\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
  _exit(kExitError);
}

}  // namespace

void CatchInterrupts() {
  CHECK(pipe2(wake_pipe, O_CLOEXEC) == 0);
  struct sigaction action = {};
  action.sa_handler = HandleSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
  std::thread(WaitAndCancel).detach();
}

bool Interrupted() { return interrupted; }

int InterruptFd() { return wake_pipe[0]; }

CancelOnInterrupt::CancelOnInterrupt(std::function<void()> cancel) {
  const std::lock_guard<std::mutex> lock(cancel_mutex);
  CHECK(cancel_function == nullptr || interrupted);
  delete cancel_function;
  cancel_function = new std::function<void()>(std::move(cancel));
  if (interrupted) (*cancel_function)();
}

CancelOnInterrupt::~CancelOnInterrupt() {
  const std::lock_guard<std::mutex> lock(cancel_mutex);
  delete cancel_function;
  // Who was interrupted ends in its own way, also where the signal's thread comes only now.
  cancel_function = interrupted ? new std::function<void()>([] {}) : nullptr;
}

}  // namespace baton
