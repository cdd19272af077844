// What `coordinator bench` measures: the tests it runs, what came of one, and how near that is to
// what the hardware can do.
#ifndef BATON_COORDINATOR_BENCH_MEASUREMENT_H_
#define BATON_COORDINATOR_BENCH_MEASUREMENT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/pipeline/step_work.h"

namespace baton {

// One test: a prompt of `prompt_tokens` per sequence, or `generated_tokens` steps of one token per
// sequence; the other one is 0. All sequences hold `depth` tokens before it starts.
struct BenchTest {
  int32_t prompt_tokens = 0;
  int32_t generated_tokens = 0;
  int32_t sequence_count = 1;
  int32_t depth = 0;

  int32_t tokens_per_sequence() const { return prompt_tokens + generated_tokens; }
  int64_t token_count() const { return int64_t{tokens_per_sequence()} * sequence_count; }
  // As llama-bench calls it: "pp512", "tg128 x 4 @ d4096".
  std::string Name() const;
  // Of the whole prompt, or of one step in the middle of the generation.
  StepShape Shape() const;
};

// Values of each flag; 0 among prompts or generations stands for none.
struct BenchMatrix {
  std::vector<int32_t> prompt_tokens = {512};
  std::vector<int32_t> generated_tokens = {128};
  std::vector<int32_t> sequence_counts = {1};
  std::vector<int32_t> depths = {0};
};

// Every combination: by depth, then number of sequences; prompts before generations.
std::vector<BenchTest> ListTests(const BenchMatrix& matrix);

enum class LimitKind { kInt8, kF32, kBandwidth };
const char* LimitName(LimitKind kind);  // "int8", "f32", "bandwidth"
const char* LimitUnit(LimitKind kind);  // "Gop/s" or "GB/s"

// Per second, as probes found them; 0: not measured, or the hardware has no such instructions.
struct HardwarePeaks {
  double int8_operations = 0;
  double f32_operations = 0;
  double read_bytes = 0;
};

struct Limit {
  LimitKind kind = LimitKind::kInt8;
  double value = 0;  // 10^9 operations or bytes per second
  double share = 0;  // of 1: the time that the work takes at the limit, by the time it took
};

// The limit that `seconds` for this work come nearest to. Arithmetic in int8 and in f32 adds up,
// and the one that takes longer names it. Nothing where no peak bears on the work.
std::optional<Limit> NearestLimit(const StepWork& work, double seconds, const HardwarePeaks& peaks);

struct BenchResult {
  BenchTest test;
  std::optional<int> thread_count;  // of each local worker
  int worker_count = 0;
  std::vector<double> tokens_per_second;  // of all sequences together, by repetition
  std::optional<Limit> limit;

  double Mean() const;
  double StandardDeviation() const;  // of a sample: 0 where there is one repetition
};

// The middle one, or the mean of the two in the middle. REQUIRES: not empty.
double Median(std::vector<double> values);

}  // namespace baton

#endif  // BATON_COORDINATOR_BENCH_MEASUREMENT_H_
