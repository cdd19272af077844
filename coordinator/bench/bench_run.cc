#include "coordinator/bench/bench_run.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

// Enough to bring weights, scratch and threads to where the measurement finds them again.
constexpr int32_t kWarmUpPromptTokens = 512;
constexpr int32_t kWarmUpSteps = 8;

// What bears on one kind of work, measured again and again.
class PeakMeter {
 public:
  // `probe` may be null.
  PeakMeter(HardwareProbe* probe, const StepWork& work, bool with_memory)
      : probe_(probe), work_(work), with_memory_(with_memory) {}

  void Measure() {
    if (probe_ == nullptr) return;
    if (work_.int8_operations > 0) int8_.push_back(probe_->Int8OperationsPerSecond());
    if (work_.f32_operations > 0) f32_.push_back(probe_->F32OperationsPerSecond());
    if (with_memory_) read_.push_back(probe_->ReadBytesPerSecond());
  }

  HardwarePeaks Peaks() const { return {MedianOf(int8_), MedianOf(f32_), MedianOf(read_)}; }

 private:
  static double MedianOf(const std::vector<double>& values) {
    return values.empty() ? 0 : Median(values);
  }

  HardwareProbe* const probe_;
  const StepWork work_;
  const bool with_memory_;
  std::vector<double> int8_, f32_, read_;
};

absl::Status Feed(const BenchTest& test, int32_t tokens, SequenceFeeder& feeder) {
  if (test.prompt_tokens > 0) return feeder.FeedPrompts(test.sequence_count, test.depth, tokens);
  return feeder.Generate(test.sequence_count, test.depth, tokens);
}

}  // namespace

absl::StatusOr<BenchResult> RunBenchTest(const BenchTest& test, const BenchSetup& setup) {
  using Clock = std::chrono::steady_clock;
  const auto say = [&](const std::string& what) {
    if (setup.progress) setup.progress(absl::StrCat(test.Name(), ": ", what));
  };
  const bool is_prompt = test.prompt_tokens > 0;
  const StepWork work = CountStepWork(*setup.spec, setup.numeric, test.Shape());
  PeakMeter meter(is_prompt ? setup.prompt_probe : setup.step_probe, work, !is_prompt);
  if (test.depth > 0) say(absl::StrCat("filling ", test.depth, " positions"));
  RETURN_IF_ERROR(setup.feeder->FillTo(test.sequence_count, test.depth));
  say("warming up");
  const int32_t warm_up = is_prompt ? kWarmUpPromptTokens : kWarmUpSteps;
  RETURN_IF_ERROR(Feed(test, std::min(warm_up, test.tokens_per_sequence()), *setup.feeder));
  BenchResult result;
  result.test = test;
  std::vector<double> step_seconds;  // of what the work was counted for
  for (int run = 0; run < setup.repetitions; ++run) {
    say(absl::StrCat("run ", run + 1, " of ", setup.repetitions));
    meter.Measure();
    const Clock::time_point start = Clock::now();
    RETURN_IF_ERROR(Feed(test, test.tokens_per_sequence(), *setup.feeder));
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    result.tokens_per_second.push_back(static_cast<double>(test.token_count()) / seconds);
    step_seconds.push_back(is_prompt ? seconds : seconds / test.generated_tokens);
  }
  meter.Measure();
  result.limit = NearestLimit(work, Median(step_seconds), meter.Peaks());
  return result;
}

}  // namespace baton
