#include "coordinator/scheduler/pacing.h"

#include <algorithm>
#include <cmath>

namespace baton {
namespace {

// A round trip that is longer than the steps in it by less than this part of a step needs no step
// more: the gap costs less than rows that wait in a queue.
constexpr double kGapWorthFilling = 0.1;
// Another group of answers must gain more than this, or measurements decide by their noise.
constexpr double kGainWorthSplitting = 0.02;
// With as many groups as stages, a stage that is the slowest waits while steps are handed over: for
// so much of what these take, with two workers on one machine (4 to 8% for steps of 8 to 32 rows).
// One group more goes on meanwhile, and costs nothing where a step costs what its rows do.
constexpr double kHandOver = 0.05;

int32_t Share(int32_t rows, int groups) { return (rows + groups - 1) / groups; }

using StageMs = double (StepTimes::*)(int32_t rows) const;

// From one token of an answer to its next, with the answers in so many groups, which differ by one
// row at most: each goes round, and all of them pass the slowest stage, which has `gap` of its time
// nothing to do.
double TokenMs(const StepTimes& times, StageMs stage_ms, int32_t answers, int groups,
               double gap = 0) {
  const int32_t rows = answers / groups;
  const int larger = answers % groups;
  const double all_ms =
      larger * (times.*stage_ms)(rows + 1) + (groups - larger) * (times.*stage_ms)(rows);
  return std::max(times.RoundTrip(Share(answers, groups)), all_ms * (1 + gap));
}

}  // namespace

// Of a prompt of T tokens in chunks of c, with steps that take as long as c + w rows in each of s
// stages, the last row is through after (T/c + s - 1) (c + w): least where c^2 = T w / (s - 1).
//
// The second of two stages may be faster by a slack of a. It catches up if each chunk is larger
// than the next by a times its rows, so that chunks may begin large and end small: with l tokens
// left c = e + a l, where e is the last one. That makes ln(1 + a T / e) / a steps, and e rows until
// the second stage has ended too: least where e (e + a T) = T w. Of more stages all but the last
// are as fast as each other, and the largest chunk counts in each of them.
int32_t PromptChunk(int stage_count, double weight_rows, double slack, const PromptTokens& tokens) {
  if (stage_count == 1) return kMaxPromptChunk;
  const double grow = stage_count == 2 ? slack : 0;
  const double half = grow * static_cast<double>(tokens.all) / 2;
  const double square = static_cast<double>(tokens.all) * weight_rows / (stage_count - 1);
  const double last = std::sqrt(half * half + square) - half;
  return static_cast<int32_t>(std::clamp<double>(last + grow * static_cast<double>(tokens.left),
                                                 kMinPromptChunk, kMaxPromptChunk));
}

int Pacing::StepsToCover(double round_trip_ms, double step_ms) const {
  if (step_ms <= 0) return std::min(stage_count_, most_in_flight_);
  const double steps = std::ceil(round_trip_ms / step_ms - kGapWorthFilling);
  return static_cast<int>(std::clamp<double>(steps, 1, most_in_flight_));
}

int Pacing::DecodeGroups(const StepTimes& times, int32_t answers, bool prompts_run) const {
  // Beside prompts steps have other numbers of rows than answers alone, and nothing is learnt.
  const StageMs stage_ms = prompts_run ? &StepTimes::SlowestStage : &StepTimes::SlowestStageAtBest;
  const int filled = stage_count_ > 1 ? stage_count_ + 1 : 1;
  const int most =
      std::min(answers, std::max(std::min(filled, most_in_flight_),
                                 StepsToCover(times.RoundTrip(1), times.SlowestStage(1))));
  int best = 1;
  double best_ms = TokenMs(times, stage_ms, answers, 1);
  for (int groups = 2; groups <= most; ++groups) {
    const double gap = groups == stage_count_ ? kHandOver : 0;
    const double ms = TokenMs(times, stage_ms, answers, groups, gap);
    if (ms >= best_ms * (1 - kGainWorthSplitting)) continue;
    best = groups;
    best_ms = ms;
  }
  return best;
}

Pace Pacing::Choose(const StepTimes& times, int32_t answers, const PromptTokens& prompts) const {
  Pace pace;
  if (answers == 0) {
    const int32_t chunk = PromptChunk(stage_count_, times.weight_rows(), prompt_slack_, prompts);
    int32_t rows = static_cast<int32_t>(times.RowsWithin(kLongestPromptStepMs, chunk));
    if (prompt_chunk_ > 0) rows = prompt_chunk_;
    pace.step_rows = rows;
    // One more than is computed, so that the next one is there when a stage has finished.
    pace.steps_in_flight =
        std::max(stage_count_, StepsToCover(times.RoundTrip(rows), times.SlowestStage(rows))) + 1;
    pace.steps_in_flight = std::min(pace.steps_in_flight, most_in_flight_);
    return pace;
  }
  pace.decode_groups = DecodeGroups(times, answers, prompts.left > 0);
  pace.group_rows = Share(answers, pace.decode_groups);
  pace.larger_groups = answers - pace.decode_groups * (pace.group_rows - 1);
  const double token_ms = TokenMs(times, &StepTimes::SlowestStage, answers, pace.decode_groups);
  pace.steps_in_flight =
      std::max(pace.decode_groups, StepsToCover(token_ms, times.SlowestStage(pace.group_rows)));
  const double step_ms = kSlowdownForPrompts * token_ms / pace.steps_in_flight;
  const double rows = step_ms > 0 ? times.RowsWithin(step_ms, kMaxBatchRows) : kMinPromptChunk;
  pace.step_rows = std::max<double>(rows, pace.group_rows + kMinPromptRows);
  if (prompt_chunk_ > 0) {
    pace.step_rows = std::min<double>(pace.step_rows, pace.group_rows + prompt_chunk_);
  }
  return pace;
}

}  // namespace baton
