#include "coordinator/cluster/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace baton {
namespace {

constexpr off_t kStderrTailBytes = 4096;
constexpr std::chrono::milliseconds kEndPoll{5};

std::string DescribeEnd(int status) {
  if (WIFSIGNALED(status)) return absl::StrCat("was killed by signal ", WTERMSIG(status));
  return absl::StrCat("ended with exit code ", WEXITSTATUS(status));
}

// A group of its own: Ctrl-C is for the coordinator, which then ends its workers.
int Spawn(const std::string& binary, const std::vector<std::string>& arguments, int lifeline,
          int log, pid_t* pid) {
  std::vector<char*> argv = {const_cast<char*>(binary.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, log, STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, lifeline, kLifelineFd);
  posix_spawn_file_actions_addclosefrom_np(&actions, kLifelineFd + 1);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int error = posix_spawn(pid, binary.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerProcess>> WorkerProcess::Start(
    const std::string& binary, const std::vector<std::string>& arguments) {
  int lifeline[2] = {-1, -1};
  const int log = memfd_create("worker-stderr", MFD_CLOEXEC);
  if (log < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lifeline) != 0) {
    const int error = errno;
    if (log >= 0) close(log);
    return absl::InternalError(absl::StrCat("cannot start ", binary, ": ", std::strerror(error)));
  }
  pid_t pid = -1;
  const int error = Spawn(binary, arguments, lifeline[1], log, &pid);
  close(lifeline[1]);
  if (error != 0) {
    close(lifeline[0]);
    close(log);
    return absl::InternalError(absl::StrCat("cannot start ", binary, ": ", std::strerror(error)));
  }
  return std::unique_ptr<WorkerProcess>(new WorkerProcess(pid, lifeline[0], log));
}

WorkerProcess::~WorkerProcess() {
  LetGo();
  const auto deadline = std::chrono::steady_clock::now() + kWorkerStopGrace;
  while (!HowItEnded() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kEndPoll);
  }
  if (!HowItEnded()) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(log_);
}

void WorkerProcess::LetGo() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (lifeline_ >= 0) close(lifeline_);
  lifeline_ = -1;
}

std::optional<std::string> WorkerProcess::HowItEnded() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (end_.has_value()) return end_;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) end_ = DescribeEnd(status);
  return end_;
}

absl::Status WorkerProcess::AwaitListening(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  pollfd ready = {.fd = lifeline_, .events = POLLIN, .revents = 0};
  char byte = 0;
  if (poll(&ready, 1, static_cast<int>(timeout.count())) == 1 && read(lifeline_, &byte, 1) == 1) {
    return absl::OkStatus();
  }
  std::optional<std::string> end = HowItEnded();
  while (!end && ready.revents != 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kEndPoll);
    end = HowItEnded();
  }
  if (!end) {
    return absl::DeadlineExceededError(
        absl::StrCat("does not listen after ", timeout.count(), " ms"));
  }
  const std::string words(absl::StripAsciiWhitespace(Stderr()));
  return absl::UnavailableError(absl::StrCat(*end, words.empty() ? "" : ": ", words));
}

std::string WorkerProcess::Stderr() const {
  const off_t size = lseek(log_, 0, SEEK_END);
  const off_t start = size > kStderrTailBytes ? size - kStderrTailBytes : 0;
  std::string text(size > 0 ? size - start : 0, '\0');
  const ssize_t got = pread(log_, text.data(), text.size(), start);
  text.resize(got > 0 ? got : 0);
  return text;
}

}  // namespace baton
