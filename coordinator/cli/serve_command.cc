#include "coordinator/cli/serve_command.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "coordinator/api/api_error.h"
#include "coordinator/api/api_service.h"
#include "coordinator/api/served_model.h"
#include "coordinator/cli/console.h"
#include "coordinator/cli/deployment.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/open_model.h"
#include "coordinator/http/http_server.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

// How soon the loss of a worker is noticed while nobody asks for anything.
constexpr std::chrono::seconds kWorkerCheckInterval{2};
constexpr double kMillisecondsPerSecond = 1000.0;
// For clients to read answers that are complete, after a signal and after a failure: one that does
// not read must not keep a server that answers nobody from being started again.
constexpr std::chrono::seconds kDrainTime{10};
constexpr std::chrono::seconds kFailedDrainTime{1};

// Until a signal or a failure, whichever comes first. Thread-safe.
class End {
 public:
  void Interrupt() { Set(absl::OkStatus()); }
  void Fail(const absl::Status& status) { Set(status); }

  // False when the time is over.
  bool WaitFor(std::chrono::seconds time) {
    std::unique_lock<std::mutex> lock(mutex_);
    return came_.wait_for(lock, time, [this] { return is_set_; });
  }
  absl::Status status() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return status_;
  }

 private:
  void Set(const absl::Status& status) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_set_) return;
    is_set_ = true;
    status_ = status;
    came_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable came_;
  bool is_set_ = false;
  absl::Status status_;
};

// "models/tiny.Q4_0.gguf" is served as "tiny.Q4_0".
std::string ModelId(const Options& options) {
  if (!options.alias.empty()) return options.alias;
  const std::string name = options.model.substr(options.model.rfind('/') + 1);
  return std::string(absl::StripSuffix(name, ".gguf"));
}

uint64_t CountParameters(const GgufFile& file) {
  uint64_t count = 0;
  for (const TensorInfo& tensor : file.tensors()) count += tensor.elements();
  return count;
}

ServedModel Describe(const Options& options, const PlannedModel& model,
                     const Tokenizer& tokenizer) {
  ServedModel served;
  served.chat = ChatEncoder::Create(model.file, tokenizer, options.chat_template);
  served.id = ModelId(options);
  served.created_s = std::chrono::duration_cast<std::chrono::seconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
  served.context_length = model.context_length;
  served.trained_context_length = static_cast<int32_t>(model.spec.context_length);
  served.vocabulary_size = model.spec.vocabulary_size;
  served.width = model.spec.width;
  served.parameter_count = CountParameters(model.file);
  for (const PlannedStage& stage : model.plan.stages) served.weight_bytes += stage.weight_bytes;
  served.tokenizer = &tokenizer;
  AnswerDefaults& defaults = served.defaults;
  defaults.sampling = options.sampling;
  defaults.seed_given = options.seed_given;
  defaults.logit_bias = options.logit_bias;
  defaults.stop = options.stop;
  defaults.max_tokens = options.max_tokens;
  defaults.ignore_eos = options.ignore_eos;
  defaults.speculation = options.speculation;
  defaults.timeout_ms = options.timeout_s * kMillisecondsPerSecond;
  return served;
}

// Serves until the end has come, and finishes what was begun.
absl::Status ServeUntil(End& end, ApiService& service, HttpServer& server, Deployment& deployment) {
  while (!end.WaitFor(kWorkerCheckInterval)) {
    const absl::Status status = deployment.Stats().status();
    // A stage that computes a long step, or has many callers, answers late; it is not lost.
    if (status.ok() || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status)) {
      continue;
    }
    end.Fail(status);
  }
  const absl::Status status = end.status();
  service.SetEnding(status.ok() ? absl::UnavailableError("the server is about to end") : status);
  const SchedulerStats stats = deployment.scheduler().Stats();
  if (const int64_t left = stats.running_requests + stats.queued_requests; left > 0) {
    Say(absl::StrCat("finishing ", left, left == 1 ? " request" : " requests",
                     "; another signal ends them"));
  }
  deployment.scheduler().Drain();
  server.Drain(status.ok() ? kDrainTime : kFailedDrainTime);
  service.Stop();
  return status;
}

}  // namespace

absl::Status RunServe(const Options& options) {
  ASSIGN_OR_RETURN(const PlannedModel model, PlanModel(options, /*default_context=*/0));
  ASSIGN_OR_RETURN(const auto tokenizer, OpenTokenizer(model.file));
  const ServedModel served = Describe(options, model, *tokenizer);
  // A model without a template completes text; one that was asked for by name must be there.
  if (!served.chat.ok() && options.chat_template.has_value()) return served.chat.status();
  End end;
  ApiService service([&end](const absl::Status& failure) { end.Fail(failure); });
  HttpServerOptions http;
  http.host = options.host;
  http.port = options.port;
  http.refuse = RefusalResponse;
  ASSIGN_OR_RETURN(const auto server, HttpServer::Start(http, [&](HttpRequest request, auto reply) {
                     service.Handle(std::move(request), std::move(reply));
                   }));
  Say(absl::StrCat("listening on http://", server->address()));
  ASSIGN_OR_RETURN(auto deployment,
                   Load(options, model, [&](double share) { service.SetProgress(share); }));
  const CancelOnInterrupt interrupt([&end] { end.Interrupt(); });
  service.SetReady(served, deployment->scheduler());
  Say(absl::StrCat("serving ", served.id, " on http://", server->address()));
  return ServeUntil(end, service, *server, *deployment);
}

}  // namespace baton
