#include "coordinator/cluster/local_workers.h"

#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

namespace fs = std::filesystem;

constexpr char kFolderPattern[] = "/baton-XXXXXX";
constexpr size_t kLongestSocketName = sizeof("/worker-999");

// The first folder for temporary files in which a socket's path is short enough for the kernel.
std::string TemporaryFolder() {
  for (const char* variable : {"XDG_RUNTIME_DIR", "TMPDIR"}) {
    const char* folder = getenv(variable);
    if (folder != nullptr && access(folder, W_OK | X_OK) == 0 &&
        std::strlen(folder) + sizeof(kFolderPattern) + kLongestSocketName <
            sizeof(sockaddr_un::sun_path)) {
      return folder;
    }
  }
  return "/tmp";
}

}  // namespace

absl::StatusOr<std::string> FindWorkerBinary() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  const fs::path folder = self.parent_path();
  const std::vector<fs::path> places = {
      folder / "worker",
      folder.parent_path() / "worker" / "worker",
      fs::path(self.string() + ".runfiles") / "baton" / "worker" / "worker",
  };
  for (const fs::path& place : places) {
    if (fs::is_regular_file(place, error) && access(place.c_str(), X_OK) == 0) {
      return place.string();
    }
  }
  return absl::NotFoundError(absl::StrCat(
      "no worker program: looked for ",
      absl::StrJoin(places, ", ",
                    [](std::string* out, const fs::path& place) { out->append(place.string()); })));
}

std::string LocalWorkers::SocketPath(int worker) const {
  return absl::StrCat(folder_, "/worker-", worker);
}

absl::StatusOr<std::unique_ptr<LocalWorkers>> LocalWorkers::Start(
    const LocalWorkersOptions& options) {
  std::string binary = options.binary;
  if (binary.empty()) {
    ASSIGN_OR_RETURN(binary, FindWorkerBinary());
  }
  std::string folder = TemporaryFolder() + kFolderPattern;
  if (mkdtemp(folder.data()) == nullptr) {
    return absl::InternalError(
        absl::StrCat("cannot make the folder ", folder, ": ", std::strerror(errno)));
  }
  std::unique_ptr<LocalWorkers> workers(new LocalWorkers(folder));
  for (int i = 0; i < options.count; ++i) {
    std::vector<std::string> arguments = {
        "--listen",   absl::StrCat("unix:", workers->SocketPath(i)),
        "--model",    options.model_path,
        "--threads",  absl::StrCat(options.thread_count),
        "--lifeline", absl::StrCat(kLifelineFd)};
    if (!options.isa.empty()) arguments.insert(arguments.end(), {"--isa", options.isa});
    ASSIGN_OR_RETURN(auto process, WorkerProcess::Start(binary, arguments));
    workers->processes_.push_back(std::move(process));
  }
  for (int i = 0; i < options.count; ++i) {
    WorkerProcess& process = *workers->processes_[i];
    const absl::Status status = process.AwaitListening(kWorkerStartTimeout);
    if (!status.ok()) {
      return absl::Status(status.code(), absl::StrCat("worker ", i, " (pid ", process.pid(), ") ",
                                                      status.message()));
    }
  }
  return workers;
}

LocalWorkers::~LocalWorkers() {
  for (auto& process : processes_) process->LetGo();
  processes_.clear();
  std::error_code error;
  fs::remove_all(folder_, error);
}

std::vector<WorkerEndpoint> LocalWorkers::Endpoints() const {
  std::vector<WorkerEndpoint> endpoints;
  for (size_t i = 0; i < processes_.size(); ++i) {
    WorkerProcess* process = processes_[i].get();
    endpoints.push_back({.address = absl::StrCat("unix:", SocketPath(static_cast<int>(i))),
                         .name = absl::StrCat("worker ", i),
                         .detail = absl::StrCat("pid ", process->pid()),
                         .how_it_ended = [process] { return process->HowItEnded(); }});
  }
  return endpoints;
}

std::string LocalWorkers::Stderr() const {
  std::string text;
  for (size_t i = 0; i < processes_.size(); ++i) {
    for (const absl::string_view line : absl::StrSplit(processes_[i]->Stderr(), '\n')) {
      if (!line.empty()) absl::StrAppend(&text, "worker ", i, ": ", line, "\n");
    }
  }
  return text;
}

}  // namespace baton
