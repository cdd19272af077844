// Counters and histograms for Prometheus. Names follow vLLM's, under our own prefix, so that
// dashboards and autoscalers need little change.
#ifndef BATON_COORDINATOR_API_METRICS_H_
#define BATON_COORDINATOR_API_METRICS_H_

#include <chrono>
#include <memory>
#include <string>

#include "coordinator/scheduler/request.h"
#include "coordinator/scheduler/scheduler.h"

namespace baton {

// When a choice last said something.
struct TokenClock {
  std::chrono::steady_clock::time_point last;  // its epoch: nothing yet
};

// Thread-safe.
class ApiMetrics {
 public:
  ApiMetrics();
  ~ApiMetrics();
  ApiMetrics(const ApiMetrics&) = delete;
  ApiMetrics& operator=(const ApiMetrics&) = delete;

  // Of each request over HTTP; `path` is one of the server's own.
  void OnHttpRequest(const std::string& path, int status);
  void OnToken(TokenClock* clock);
  void OnChoiceDone(FinishReason reason);
  void OnRequestDone(const Usage& usage);

  // The text that Prometheus reads: what was counted here, and the scheduler's state where there is
  // one.
  std::string Text(const SchedulerStats* stats) const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_API_METRICS_H_
