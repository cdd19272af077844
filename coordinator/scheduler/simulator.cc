#include "coordinator/scheduler/simulator.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "coordinator/scheduler/batcher.h"
#include "engine/base/check.h"

namespace baton {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
// The batcher looks at tokens only to find prefixes; a fresh one for every place has none.
constexpr int32_t kVocabulary = std::numeric_limits<int32_t>::max();

class Simulator {
 public:
  Simulator(const SimulatedPipeline& pipeline, const std::vector<SimulatedRequest>& requests)
      : pipeline_(pipeline),
        requests_(requests),
        batcher_(OptionsFor(pipeline), static_cast<int>(pipeline.stages.size())),
        stage_free_ms_(pipeline.stages.size(), 0.0),
        link_free_ms_(pipeline.stages.size() + 1, 0.0) {
    result_.answers.resize(requests.size());
    result_.busy_ms.resize(pipeline.stages.size(), 0.0);
  }

  Simulation Run() {
    while (true) {
      const double arrival_ms =
          next_request_ < requests_.size() ? requests_[next_request_].arrives_ms : kNever;
      const double return_ms = in_flight_.empty() ? kNever : in_flight_.front().returns_ms;
      if (arrival_ms == kNever && return_ms == kNever) break;
      now_ms_ = std::max(now_ms_, std::min(arrival_ms, return_ms));
      if (arrival_ms <= return_ms) {
        Arrive();
      } else {
        Return();
      }
      while (std::optional<Batcher::Step> step = batcher_.Compose(now_ms_)) Send(*step);
    }
    CHECK(batcher_.idle());
    result_.end_ms = now_ms_;
    result_.preemption_count = static_cast<int64_t>(batcher_.stats(now_ms_).preemptions);
    return std::move(result_);
  }

 private:
  struct Flight {
    double returns_ms;
    StepResult result;
  };

  class Sink : public RequestSink {
   public:
    Sink(SimulatedAnswer& answer, const double& now_ms) : answer_(answer), now_ms_(now_ms) {}
    bool OnToken(int, const SampleResult&, absl::Span<const float>) override {
      answer_.token_ms.push_back(now_ms_);
      return true;
    }
    void OnDone(const absl::Status& status, const Usage&) override { CHECK(status.ok()); }

   private:
    SimulatedAnswer& answer_;
    const double& now_ms_;
  };

  static SchedulerOptions OptionsFor(const SimulatedPipeline& pipeline) {
    SchedulerOptions options;
    options.kv_block_counts = {pipeline.kv_block_count};
    options.context_length =
        static_cast<int32_t>(std::min<int64_t>(PositionsIn(pipeline.kv_block_count), 1 << 20));
    options.vocabulary_size = kVocabulary;
    options.most_steps_in_flight = 256;
    return options;
  }

  void Arrive() {
    const SimulatedRequest& simulated = requests_[next_request_];
    Request request;
    request.prompt.resize(simulated.prompt_tokens);
    for (int32_t& token : request.prompt) token = next_token_++;
    request.max_tokens = simulated.answer_tokens;
    request.speculation = Speculation::kOff;
    batcher_.Add(next_request_ + 1, std::move(request),
                 std::make_shared<Sink>(result_.answers[next_request_], now_ms_), now_ms_);
    ++next_request_;
  }

  void Return() {
    const Flight flight = std::move(in_flight_.front());
    in_flight_.pop_front();
    batcher_.Finish(flight.result, now_ms_);
  }

  // Stages and links take steps in order, so that all of a step's times are known when it is sent.
  void Send(const Batcher::Step& step) {
    Flight flight;
    flight.result.step = step.batch.step;
    for (const OutputSpec& output : step.outputs) {
      SpanOutput& span = flight.result.outputs.emplace_back();
      if (output.kind == OutputSpec::Kind::kSample) span.samples.resize(1);
    }
    const double rows = static_cast<double>(step.batch.row_count());
    double at_ms = now_ms_ + pipeline_.coordinator_ms;
    for (size_t i = 0; i < pipeline_.stages.size(); ++i) {
      // To the first stage there are only token ids.
      at_ms = Carry(i, at_ms, i == 0 ? 0 : rows * static_cast<double>(pipeline_.row_bytes));
      const double busy_ms = pipeline_.stages[i].StepMs(rows);
      at_ms = std::max(at_ms, stage_free_ms_[i]) + busy_ms;
      stage_free_ms_[i] = at_ms;
      result_.busy_ms[i] += busy_ms;
      flight.result.stages.push_back({busy_ms});
    }
    flight.returns_ms = Carry(pipeline_.stages.size(), at_ms, 0);
    in_flight_.push_back(std::move(flight));
    ++result_.step_count;
  }

  double Carry(size_t link, double ready_ms, double bytes) {
    link_free_ms_[link] =
        std::max(ready_ms, link_free_ms_[link]) + bytes / pipeline_.link_bytes_per_ms;
    return link_free_ms_[link] + pipeline_.link_ms;
  }

  const SimulatedPipeline& pipeline_;
  const std::vector<SimulatedRequest>& requests_;
  Batcher batcher_;
  std::vector<double> stage_free_ms_;
  std::vector<double> link_free_ms_;
  std::deque<Flight> in_flight_;
  size_t next_request_ = 0;
  int32_t next_token_ = 0;
  double now_ms_ = 0;
  Simulation result_;
};

}  // namespace

double SimulatedStage::StepMs(double rows) const {
  if (measured.empty()) return std::max(weights_ms, row_ms * rows);
  const auto above = std::find_if(measured.begin(), measured.end(),
                                  [rows](const MeasuredStep& step) { return step.rows >= rows; });
  if (above == measured.begin()) return above->ms;
  const MeasuredStep& below = *(above - 1);
  if (above == measured.end()) return below.ms * rows / below.rows;
  return below.ms + (above->ms - below.ms) * (rows - below.rows) / (above->rows - below.rows);
}

Simulation Simulate(const SimulatedPipeline& pipeline,
                    const std::vector<SimulatedRequest>& requests) {
  return Simulator(pipeline, requests).Run();
}

double Simulation::TokensPerSecond(double from_ms, double to_ms) const {
  int64_t count = 0;
  for (const SimulatedAnswer& answer : answers) {
    count += std::count_if(answer.token_ms.begin(), answer.token_ms.end(),
                           [&](double ms) { return ms >= from_ms && ms < to_ms; });
  }
  return static_cast<double>(count) * 1000 / (to_ms - from_ms);
}

std::vector<double> TokenGaps(const SimulatedAnswer& answer, double from_ms, double to_ms) {
  std::vector<double> gaps;
  for (size_t i = 1; i < answer.token_ms.size(); ++i) {
    const double ms = answer.token_ms[i];
    if (ms >= from_ms && ms < to_ms) gaps.push_back(ms - answer.token_ms[i - 1]);
  }
  std::sort(gaps.begin(), gaps.end());
  return gaps;
}

double Percentile(const std::vector<double>& values, double part) {
  CHECK(!values.empty());
  const double last = static_cast<double>(values.size() - 1);
  return values[static_cast<size_t>(std::lround(part * last))];
}

}  // namespace baton
