// What a pipeline would do under a load: the scheduler's own decisions (Batcher), with stages and
// links that are only arithmetic, and a clock that jumps from event to event. The same input gives
// the same result.
#ifndef BATON_COORDINATOR_SCHEDULER_SIMULATOR_H_
#define BATON_COORDINATOR_SCHEDULER_SIMULATOR_H_

#include <cstdint>
#include <vector>

namespace baton {

// What a stage took for a step of so many rows.
struct MeasuredStep {
  double rows = 1;
  double ms = 1;
};

// A step of r rows keeps a stage busy for max(weights_ms, row_ms r) milliseconds: weights are read
// beside the arithmetic. Or for as long as was measured: linear between two measured steps, that of
// the smallest below it, and in proportion to the rows beyond the largest.
struct SimulatedStage {
  double weights_ms = 10;
  double row_ms = 1;
  std::vector<MeasuredStep> measured = {};  // instead of the two where not empty; rows ascend

  double StepMs(double rows) const;
};

struct SimulatedPipeline {
  std::vector<SimulatedStage> stages;
  // Of each way between two neighbours, the coordinator on both ends included.
  double link_ms = 0.05;
  double link_bytes_per_ms = 1e6;  // 1 GB/s
  int64_t row_bytes = 8192;        // of a hidden row
  double coordinator_ms = 0.05;    // to take up a result and compose the next step
  int32_t kv_block_count = 1 << 16;
};

// A request that comes at some time; the prompt's tokens are its own.
struct SimulatedRequest {
  double arrives_ms = 0;
  int32_t prompt_tokens = 1;
  int32_t answer_tokens = 1;
};

struct SimulatedAnswer {
  std::vector<double> token_ms;  // when each token came, on the clock that arrives_ms is of
};

struct Simulation {
  std::vector<SimulatedAnswer> answers;  // one per request
  double end_ms = 0;
  std::vector<double> busy_ms;  // by stage
  int64_t step_count = 0;
  int64_t preemption_count = 0;

  // Tokens of all answers that came in [from, to), per second.
  double TokensPerSecond(double from_ms, double to_ms) const;
  // Part of the time to the end that a stage computed.
  double BusyShare(int stage) const { return busy_ms[stage] / end_ms; }
};

// Runs until all is answered. Requests are in order of arrival.
Simulation Simulate(const SimulatedPipeline& pipeline,
                    const std::vector<SimulatedRequest>& requests);

// Milliseconds between neighbouring tokens of an answer, those that came in [from, to), ascending.
std::vector<double> TokenGaps(const SimulatedAnswer& answer, double from_ms, double to_ms);

// Of ascending values; `part` 0.5 is the median.
double Percentile(const std::vector<double>& values, double part);

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_SIMULATOR_H_
