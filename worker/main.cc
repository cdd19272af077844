// The worker: one stage of somebody's chain, when asked to be.
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/kernels/isa.h"
#include "proto/paths.h"
#include "proto/transport.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"
#include "worker/listen_rules.h"
#include "worker/stage_loader.h"
#include "worker/worker_server.h"

namespace baton {
namespace {

constexpr int kExitError = 1;
constexpr int kExitUsage = 2;
// A worker that is told to end has nothing to save; a load or a step under way is not waited for.
constexpr unsigned kStopSeconds = 1;

struct Flags {
  std::string listen;
  std::string advertise;
  std::string model;
  std::string models;
  std::string isa;
  int threads = 0;
  bool insecure = false;
  bool verbose = false;
  int lifeline = -1;  // a descriptor; -1: none
};

int SayError(const absl::Status& status) {
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  return kExitError;
}

int SayWrongUsage(absl::string_view message) {
  std::fprintf(stderr, "error: %s (worker --help)\n", std::string(message).c_str());
  return kExitUsage;
}

void AddFlags(CLI::App& app, Flags& flags) {
  app.add_option("--listen", flags.listen, "HOST:PORT or unix:PATH; port 0 takes a free one")
      ->required();
  app.add_option("-m,--model", flags.model, "a GGUF file that coordinators may ask for");
  app.add_option("--models", flags.models, "a folder of such files");
  app.add_option("--advertise", flags.advertise, "HOST:PORT that other workers dial");
  app.add_flag("--insecure", flags.insecure,
               "listen beyond this machine: links are not encrypted, and anybody may connect");
  app.add_option("-t,--threads", flags.threads, "compute threads (default: one per core)")
      ->check(CLI::Range(1, 1024));
  app.add_option("--isa", flags.isa,
                 "scalar, avx2, avxvnni, avx512 or neon\n(default: the best here)");
  app.add_flag("-v,--verbose", flags.verbose, "log what happens");
  app.add_option("--lifeline", flags.lifeline, "a descriptor whose other end is our parent's")
      ->group("");
}

// "--max_tokens" is "--max-tokens".
std::vector<std::string> NormalizedArguments(int argc, char** argv) {
  std::vector<std::string> arguments;
  for (int i = argc - 1; i > 0; --i) {  // CLI11 takes them from the back
    std::string argument = argv[i];
    if (argument.rfind("--", 0) == 0) {
      std::replace(argument.begin(),
                   argument.begin() + std::min(argument.find('='), argument.size()), '_', '-');
    }
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

absl::Status CheckFlags(const Flags& flags) {
  ASSIGN_OR_RETURN(const Address listen, ParseAddress(flags.listen));
  if (!flags.advertise.empty()) RETURN_IF_ERROR(ParseAddress(flags.advertise).status());
  if (!flags.insecure) RETURN_IF_ERROR(CheckListensLocally(listen));
  return absl::OkStatus();
}

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

// A coordinator that was killed leaves its folder of sockets to its workers: the last one to go
// removes it.
void RemoveSocket(const std::string& address) {
  const absl::StatusOr<Address> socket = ParseAddress(address);
  if (!socket.ok() || !socket->is_unix) return;
  std::error_code error;
  const std::filesystem::path path = socket->host;
  std::filesystem::remove(path, error);
  std::filesystem::remove(path.parent_path(), error);
}

absl::Status Serve(const Flags& flags, Isa isa) {
  StageLoaderOptions options;
  options.model_file = ResolvePath(flags.model);
  options.model_folder = ResolvePath(flags.models);
  options.thread_count = flags.threads;
  options.isa = isa;
  ASSIGN_OR_RETURN(StageLoader loader, MakeStageLoader(options));

  signal(SIGPIPE, SIG_IGN);
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // in all threads that are started from here on
  const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);

  CalmTransportLibraries();
  ASSIGN_OR_RETURN(auto server, WorkerServer::Start({.listen = flags.listen,
                                                     .advertised_address = flags.advertise,
                                                     .loader = std::move(loader)}));
  if (flags.lifeline < 0) {
    std::fprintf(stderr, "listening on %s\n", server->address().c_str());
  } else if (write(flags.lifeline, "R", 1) != 1) {
    spdlog::info("nobody waits for this worker");
  }

  pollfd stop[2] = {{.fd = signal_fd, .events = POLLIN, .revents = 0},
                    {.fd = flags.lifeline, .events = POLLIN, .revents = 0}};
  while (poll(stop, 2, -1) < 0) {
  }
  spdlog::info("stopping");
  signal(SIGALRM, [](int) { _exit(0); });
  alarm(kStopSeconds);
  if (flags.lifeline >= 0) RemoveSocket(server->address());
  server->Stop();
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("worker"));
  CLI::App app(
      "One stage of a Baton pipeline: waits for a coordinator and runs the layers it is "
      "given.",
      "worker");
  Flags flags;
  AddFlags(app, flags);
  try {
    app.parse(NormalizedArguments(argc, argv));
  } catch (const CLI::CallForHelp&) {
    std::printf("%s", app.help().c_str());
    return 0;
  } catch (const CLI::Error& error) {
    return SayWrongUsage(error.what());
  }
  spdlog::set_level(flags.verbose ? spdlog::level::info : spdlog::level::warn);
  // The lifeline tells it too; the signal also reaches a worker that has not got so far.
  if (flags.lifeline >= 0) prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (flags.threads == 0) flags.threads = std::max(1u, std::thread::hardware_concurrency());
  const absl::StatusOr<Isa> isa = flags.isa.empty() ? BestIsa() : ParseIsa(flags.isa);
  if (absl::IsFailedPrecondition(isa.status())) return SayError(isa.status());
  if (!isa.ok()) return SayWrongUsage(isa.status().message());
  flags.listen = ResolveAddress(flags.listen);
  flags.advertise = ResolveAddress(flags.advertise);
  if (absl::Status status = CheckFlags(flags); !status.ok()) return SayWrongUsage(status.message());
  if (absl::Status status = Serve(flags, *isa); !status.ok()) return SayError(status);
  return 0;
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) { return baton::Main(argc, argv); }
