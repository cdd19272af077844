#include "coordinator/cli/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "engine/base/check.h"

namespace baton {
namespace {

constexpr int kExitError = 1;

// What the handler touches: a flag, and a pipe that wakes those who wait.
std::atomic<int> interrupted{0};  // the signal
int wake_pipe[2] = {-1, -1};

std::mutex cancel_mutex;  // of what follows
// Never destroyed: a thread waits for it when the process ends.
std::condition_variable& forgotten = *new std::condition_variable;
std::function<void()>* cancel_function = nullptr;

// A second signal, whichever it is, finds nobody who handles it.
void HandleSignal(int number) {
  const int saved_errno = errno;
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  interrupted = number;
  const char byte = 0;
  // The pipe holds far more than the bytes that can come.
  [[maybe_unused]] const ssize_t written = write(wake_pipe[1], &byte, 1);
  errno = saved_errno;
}

void HandleSignals() {
  struct sigaction action = {};
  action.sa_handler = HandleSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void WaitAndCancel() {
  while (true) {
    pollfd wake = {wake_pipe[0], POLLIN, 0};
    while (poll(&wake, 1, -1) < 0 && errno == EINTR) {
    }
    std::unique_lock<std::mutex> lock(cancel_mutex);
    if (interrupted == 0) continue;  // forgotten already
    if (cancel_function == nullptr) {
      constexpr char kMessage[] = "error: interrupted\n";
      [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
      _exit(kExitError);
    }
    (*cancel_function)();
    forgotten.wait(lock, [] { return interrupted == 0; });
  }
}

}  // namespace

void CatchInterrupts() {
  CHECK(pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) == 0);
  HandleSignals();
  signal(SIGPIPE, SIG_IGN);
  std::thread(WaitAndCancel).detach();
}

bool Interrupted() { return interrupted != 0; }

bool ForgetInterrupt() {
  const std::lock_guard<std::mutex> lock(cancel_mutex);
  if (interrupted == SIGTERM) return false;
  char bytes[16];
  while (read(wake_pipe[0], bytes, sizeof(bytes)) > 0) {
  }
  interrupted = 0;
  forgotten.notify_all();
  HandleSignals();
  return true;
}

int InterruptFd() { return wake_pipe[0]; }

CancelOnInterrupt::CancelOnInterrupt(std::function<void()> cancel) {
  const std::lock_guard<std::mutex> lock(cancel_mutex);
  CHECK(cancel_function == nullptr || Interrupted());
  delete cancel_function;
  cancel_function = new std::function<void()>(std::move(cancel));
  if (Interrupted()) (*cancel_function)();
}

CancelOnInterrupt::~CancelOnInterrupt() {
  const std::lock_guard<std::mutex> lock(cancel_mutex);
  delete cancel_function;
  // Who was interrupted ends in its own way, also where the signal's thread comes only now.
  cancel_function = Interrupted() ? new std::function<void()>([] {}) : nullptr;
}

}  // namespace baton
