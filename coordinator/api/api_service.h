// The endpoints: what each path answers.
//
// Before a model is there, and after it has gone, they say so: /health tells the truth.
#ifndef BATON_COORDINATOR_API_API_SERVICE_H_
#define BATON_COORDINATOR_API_API_SERVICE_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/api/background.h"
#include "coordinator/api/metrics.h"
#include "coordinator/api/served_model.h"
#include "coordinator/http/http_message.h"
#include "coordinator/scheduler/scheduler.h"
#include "nlohmann/json.hpp"

namespace baton {

// Thread-safe.
class ApiService {
 public:
  // `on_failure` hears, from any thread, of errors that leave nothing to serve: a worker was lost.
  explicit ApiService(std::function<void(const absl::Status&)> on_failure);

  // While it loads: the share of 1 that is done.
  void SetProgress(double share);
  // Both outlive this.
  void SetReady(const ServedModel& model, Scheduler& scheduler);
  // No more requests are taken; `reason` is what those that come are told.
  void SetEnding(const absl::Status& reason);

  // An HttpHandler. Long requests are read on a thread of their own.
  void Handle(HttpRequest request, std::shared_ptr<HttpReply> reply);

  // Begins nothing more: what long requests are left have no client. Before the scheduler goes.
  void Stop() { long_requests_.Stop(); }

 private:
  struct Route;
  static const Route kRoutes[];

  // What there is to serve with.
  struct Backend {
    const ServedModel* model = nullptr;
    Scheduler* scheduler = nullptr;
  };

  // Unavailable while there is nothing to serve with, saying why.
  absl::StatusOr<Backend> CurrentBackend() const;
  const Route* FindRoute(const std::string& path) const;
  void Serve(const Route& route, const HttpRequest& request,
             const std::shared_ptr<HttpReply>& reply);
  void Refuse(const char* path, const std::shared_ptr<HttpReply>& reply, HttpResponse response);

  absl::StatusOr<HttpResponse> Index(const HttpRequest& request) const;
  absl::StatusOr<HttpResponse> Health(const HttpRequest& request) const;
  absl::StatusOr<HttpResponse> Metrics(const HttpRequest& request) const;
  absl::StatusOr<HttpResponse> Models(const HttpRequest& request) const;
  absl::StatusOr<HttpResponse> Model(const HttpRequest& request) const;
  absl::StatusOr<HttpResponse> Tokenize(const HttpRequest& request) const;
  absl::StatusOr<HttpResponse> Detokenize(const HttpRequest& request) const;
  absl::Status Chat(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply);
  absl::Status Complete(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply);

  const std::function<void(const absl::Status&)> on_failure_;
  mutable ApiMetrics metrics_;

  mutable std::mutex mutex_;  // of what follows
  double progress_ = 0;
  Backend backend_;
  absl::Status ending_;

  Background long_requests_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_API_API_SERVICE_H_
