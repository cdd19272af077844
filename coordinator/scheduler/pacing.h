// How many steps are kept in flight, and how many rows they get.
#ifndef BATON_COORDINATOR_SCHEDULER_PACING_H_
#define BATON_COORDINATOR_SCHEDULER_PACING_H_

#include <cstdint>

#include "coordinator/scheduler/step_times.h"

namespace baton {

// While answers run, prompts may slow them down to this many times what a token takes without: a
// stream's pace is what people see. The rest of the time is the prompts'.
inline constexpr double kSlowdownForPrompts = 1.5;
// Rows that prompts get in a step even where that slows answers down more: they must get on.
inline constexpr int32_t kMinPromptRows = 2;
// Prompt rows in a step. Beyond the upper bound kernels gain nothing from more; below the lower one
// the weights are read for few rows.
inline constexpr int32_t kMinPromptChunk = 32;
inline constexpr int32_t kMaxPromptChunk = 512;
// A step of prompts alone takes at most so long, as far as is known: whoever comes next waits for
// it.
inline constexpr double kLongestPromptStepMs = 500;

// What there is to evaluate before the first answer, in tokens.
struct PromptTokens {
  int64_t all = 0;
  int64_t left = 0;  // of them, that no step has had
};

// Rows of the next step that bring a prompt through `stage_count` stages soonest, where a step of r
// rows takes as long as r + weight_rows, and in the last stage 1 / (1 + slack) of that.
int32_t PromptChunk(int stage_count, double weight_rows, double slack, const PromptTokens& tokens);

struct Pace {
  int decode_groups = 1;   // steps with rows of running answers that go round at once
  int32_t group_rows = 1;  // answers in each of larger_groups; one less in each of the others
  int larger_groups = 1;
  int steps_in_flight = 1;  // at most, of all kinds
  double step_rows = 1;     // of a step that has prompt rows, at most, with all its rows; where
                            // answers run, on average over steps
};

// A pure function of what was measured and what there is to do.
class Pacing {
 public:
  // `stage_count`: that work at the same time. `prompt_chunk`: most prompt rows in a step, 0 for
  // what is best. `prompt_slack`: see PromptChunk. `most_in_flight`: what the pipeline takes.
  Pacing(int stage_count, int32_t prompt_chunk, double prompt_slack, int most_in_flight)
      : stage_count_(stage_count),
        prompt_chunk_(prompt_chunk),
        prompt_slack_(prompt_slack),
        most_in_flight_(most_in_flight) {}

  // For `answers` that run and `prompts` beside them.
  Pace Choose(const StepTimes& times, int32_t answers, const PromptTokens& prompts) const;

 private:
  int DecodeGroups(const StepTimes& times, int32_t answers, bool prompts_run) const;
  int StepsToCover(double round_trip_ms, double step_ms) const;

  const int stage_count_;
  const int32_t prompt_chunk_;
  const double prompt_slack_;
  const int most_in_flight_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_PACING_H_
