// One test of `coordinator bench`: repetitions, with the hardware's own speed measured between
// them.
#ifndef BATON_COORDINATOR_BENCH_BENCH_RUN_H_
#define BATON_COORDINATOR_BENCH_BENCH_RUN_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/bench/measurement.h"
#include "coordinator/bench/sequence_feeder.h"
#include "engine/model/model_spec.h"
#include "engine/pipeline/hardware_probe.h"
#include "engine/pipeline/local_stage.h"

namespace baton {

// All outlive the run.
struct BenchSetup {
  const ModelSpec* spec = nullptr;
  NumericOptions numeric;
  SequenceFeeder* feeder = nullptr;
  // With the threads that work on a prompt's chunks at once, and those that work on one step. Null:
  // no limits are measured.
  HardwareProbe* prompt_probe = nullptr;
  HardwareProbe* step_probe = nullptr;
  int repetitions = 1;
  // Told what is being done, for a person who waits; may be null.
  std::function<void(const std::string& what)> progress;
};

// Fills the sequences to the test's depth, warms up, then measures. Limits: prompts are compared
// with arithmetic alone, generations with arithmetic and with memory, whichever bounds them more;
// medians of repetitions and of probes. Threads and workers of the result are left to the caller.
absl::StatusOr<BenchResult> RunBenchTest(const BenchTest& test, const BenchSetup& setup);

}  // namespace baton

#endif  // BATON_COORDINATOR_BENCH_BENCH_RUN_H_
