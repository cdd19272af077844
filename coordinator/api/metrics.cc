#include "coordinator/api/metrics.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "prometheus/counter.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace baton {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildHistogram;
using prometheus::ClientMetric;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr double kSecondsPerMs = 1e-3;

// In seconds; vLLM's.
const Histogram::BucketBoundaries kFirstTokenBuckets = {.001, .005, .01, .02, .04, .06, .08, .1,
                                                        .25,  .5,   .75, 1,   2.5, 5,   7.5, 10,
                                                        20,   40,   80,  160, 640, 2560};
const Histogram::BucketBoundaries kBetweenTokensBuckets = {
    .01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80};
const Histogram::BucketBoundaries kRequestBuckets = {
    .3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
const Histogram::BucketBoundaries kTokenCountBuckets = {1,    4,    16,    64,    256,
                                                        1024, 4096, 16384, 65536, 262144};

const char* ReasonLabel(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kDeadline:
      return "timeout";
    case FinishReason::kCancelled:
      return "abort";
  }
  return "";
}

// A value that is known elsewhere and only read here.
struct Reading {
  MetricType type;
  const char* name;
  const char* help;
  double value;
};

std::vector<Reading> Readings(const SchedulerStats& stats) {
  const int32_t used = stats.kv_blocks - stats.kv_blocks_free - stats.kv_blocks_cached;
  const double usage = static_cast<double>(used) / std::max(1, stats.kv_blocks);
  const auto count = [](uint64_t value) { return static_cast<double>(value); };
  constexpr MetricType kGauge = MetricType::Gauge;
  constexpr MetricType kCounter = MetricType::Counter;
  return {
      {kGauge, "baton_num_requests_running", "Requests that have KV blocks.",
       static_cast<double>(stats.running_requests)},
      {kGauge, "baton_num_requests_waiting", "Requests that wait for KV blocks.",
       static_cast<double>(stats.queued_requests)},
      {kGauge, "baton_kv_cache_usage_perc", "KV blocks in use by requests, 1 is all of them.",
       usage},
      {kGauge, "baton_steps_in_flight", "Steps that the stages have.",
       static_cast<double>(stats.steps_in_flight)},
      {kCounter, "baton_requests_refused_total", "Requests refused because the queue was full.",
       count(stats.requests_refused)},
      {kCounter, "baton_num_preemptions_total",
       "Sequences that gave up their KV blocks for others.", count(stats.preemptions)},
      {kCounter, "baton_prompt_tokens_total", "Prompt tokens evaluated.",
       count(stats.prompt_tokens)},
      {kCounter, "baton_prefix_cache_hits_total", "Prompt tokens found in the prefix cache.",
       count(stats.cached_tokens)},
      {kCounter, "baton_prefix_cache_queries_total", "Prompt tokens looked for in it.",
       count(stats.prompt_tokens + stats.cached_tokens)},
      {kCounter, "baton_generation_tokens_total", "Tokens generated.",
       count(stats.generated_tokens)},
      {kCounter, "baton_spec_decode_num_draft_tokens_total", "Tokens drafted by prompt lookup.",
       count(stats.drafted_tokens)},
      {kCounter, "baton_spec_decode_num_accepted_tokens_total", "Drafted tokens that were right.",
       count(stats.accepted_tokens)},
      {kCounter, "baton_steps_total", "Steps through the pipeline.", count(stats.steps)},
      {kCounter, "baton_step_rows_total", "Rows of all steps.", count(stats.rows)},
      {kCounter, "baton_uptime_seconds_total", "Since the model was loaded.",
       stats.uptime_ms * kSecondsPerMs},
  };
}

ClientMetric Metric(MetricType type, double value) {
  ClientMetric metric;
  (type == MetricType::Gauge ? metric.gauge.value : metric.counter.value) = value;
  return metric;
}

MetricFamily StageFamily(const SchedulerStats& stats) {
  MetricFamily family;
  family.name = "baton_stage_busy_seconds_total";
  family.help = "Time that a stage computed; its rate is the share of time.";
  family.type = MetricType::Counter;
  for (size_t i = 0; i < stats.stage_busy_ms.size(); ++i) {
    ClientMetric metric = Metric(family.type, stats.stage_busy_ms[i] * kSecondsPerMs);
    metric.label = {{"stage", absl::StrCat(i)}};
    family.metric.push_back(std::move(metric));
  }
  return family;
}

}  // namespace

class ApiMetrics::Impl {
 public:
  void OnHttpRequest(const std::string& path, int status) {
    http_requests_.Add({{"path", path}, {"code", absl::StrCat(status)}}).Increment();
  }

  void OnToken(TokenClock* clock) {
    const auto now = std::chrono::steady_clock::now();
    if (clock->last != std::chrono::steady_clock::time_point()) {
      between_tokens_.Observe(std::chrono::duration<double>(now - clock->last).count());
    }
    clock->last = now;
  }

  void OnChoiceDone(FinishReason reason) {
    finished_.Add({{"finished_reason", ReasonLabel(reason)}}).Increment();
  }

  void OnRequestDone(const Usage& usage) {
    if (usage.first_token_ms > 0) first_token_.Observe(usage.first_token_ms * kSecondsPerMs);
    queue_time_.Observe(usage.queue_ms * kSecondsPerMs);
    whole_request_.Observe(usage.total_ms * kSecondsPerMs);
    prompt_tokens_.Observe(static_cast<double>(usage.prompt_tokens));
    generated_tokens_.Observe(static_cast<double>(usage.generated_tokens));
  }

  std::string Text(const SchedulerStats* stats) const {
    std::vector<MetricFamily> families = registry_.Collect();
    if (stats != nullptr) {
      for (const Reading& reading : Readings(*stats)) {
        families.push_back(
            {reading.name, reading.help, reading.type, {Metric(reading.type, reading.value)}});
      }
      families.push_back(StageFamily(*stats));
    }
    return prometheus::TextSerializer().Serialize(families);
  }

 private:
  Histogram& AddHistogram(const char* name, const char* help,
                          const Histogram::BucketBoundaries& buckets) {
    return BuildHistogram().Name(name).Help(help).Register(registry_).Add({}, buckets);
  }

  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& http_requests_ = BuildCounter()
                                                                .Name("baton_http_requests_total")
                                                                .Help("Requests over HTTP.")
                                                                .Register(registry_);
  prometheus::Family<prometheus::Counter>& finished_ = BuildCounter()
                                                           .Name("baton_request_success_total")
                                                           .Help("Choices that ended, by reason.")
                                                           .Register(registry_);
  Histogram& first_token_ =
      AddHistogram("baton_time_to_first_token_seconds",
                   "From a request's arrival to its first token.", kFirstTokenBuckets);
  Histogram& between_tokens_ =
      AddHistogram("baton_inter_token_latency_seconds", "Between two tokens of a choice.",
                   kBetweenTokensBuckets);
  Histogram& whole_request_ =
      AddHistogram("baton_e2e_request_latency_seconds",
                   "From a request's arrival to its last token.", kRequestBuckets);
  Histogram& queue_time_ =
      AddHistogram("baton_request_queue_time_seconds",
                   "From a request's arrival to its first step.", kRequestBuckets);
  Histogram& prompt_tokens_ = AddHistogram("baton_request_prompt_tokens",
                                           "Prompt tokens of a request.", kTokenCountBuckets);
  Histogram& generated_tokens_ = AddHistogram(
      "baton_request_generation_tokens", "Tokens generated for a request.", kTokenCountBuckets);
};

ApiMetrics::ApiMetrics() : impl_(std::make_unique<Impl>()) {}
ApiMetrics::~ApiMetrics() = default;

void ApiMetrics::OnHttpRequest(const std::string& path, int status) {
  impl_->OnHttpRequest(path, status);
}
void ApiMetrics::OnToken(TokenClock* clock) { impl_->OnToken(clock); }
void ApiMetrics::OnChoiceDone(FinishReason reason) { impl_->OnChoiceDone(reason); }
void ApiMetrics::OnRequestDone(const Usage& usage) { impl_->OnRequestDone(usage); }
std::string ApiMetrics::Text(const SchedulerStats* stats) const { return impl_->Text(stats); }

}  // namespace baton
