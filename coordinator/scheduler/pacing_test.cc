#include "coordinator/scheduler/pacing.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/scheduler/step_times.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr int kMost = 64;

// Stages of a + b rows milliseconds, and links of so many milliseconds for a round trip.
StepTimes Measured(int stages, double a, double b, double latency_ms = 0.1) {
  StepTimes times(/*serial=*/false);
  for (int32_t rows = 1; rows <= 1024; rows *= 2) {
    const double ms = a + b * rows;
    times.Add(rows, std::vector<StageTiming>(stages, {ms}), stages * ms + latency_ms, true);
  }
  return times;
}

TEST(StepTimesTest, IsLinearBetweenWhatWasMeasured) {
  const StepTimes times = Measured(3, 10, 1);
  for (const int32_t rows : {1, 3, 17, 100, 1000}) {
    EXPECT_NEAR(times.SlowestStage(rows), 10 + rows, 1e-9) << rows;
    EXPECT_NEAR(times.RoundTrip(rows), 3 * (10 + rows) + 0.1, 1e-9) << rows;
  }
  EXPECT_EQ(times.RowsWithin(42, 4096), 32);
  EXPECT_EQ(times.RowsWithin(1, 4096), 1);
  EXPECT_EQ(times.RowsWithin(1e9, 100), 100);
}

TEST(StepTimesTest, KnowsNothingAtFirstAndGuessesFromOne) {
  StepTimes times(false);
  EXPECT_EQ(times.SlowestStage(4), 0);
  times.Add(8, {{16.0}, {8.0}}, 30, true);
  EXPECT_EQ(times.SlowestStage(8), 16);
  EXPECT_EQ(times.SlowestStage(24), 32);
  EXPECT_EQ(times.RoundTrip(8), 30);
}

TEST(StepTimesTest, ASlowStepThatIsNeverRepeatedDoesNotStand) {
  StepTimes times(false);
  for (int i = 0; i < 10; ++i) times.Add(32, {{40.0}}, 40, true);
  times.Add(64, {{500.0}}, 500, true);
  EXPECT_EQ(times.SlowestStage(64), 80);
}

TEST(StepTimesTest, OnlyStepsThatWereAloneShowTheWay) {
  StepTimes times(false);
  times.Add(1, {{5.0}, {5.0}}, 12, true);
  times.Add(1, {{5.0}, {5.0}}, 100, false);
  EXPECT_EQ(times.RoundTrip(1), 12);
}

TEST(StepTimesTest, StagesThatTakeTurnsAreOne) {
  StepTimes times(/*serial=*/true);
  times.Add(1, {{5.0}, {7.0}}, 12, true);
  EXPECT_EQ(times.SlowestStage(1), 12);
}

TEST(PacingTest, WeightBoundAnswersAreNotSplit) {
  const Pacing pacing(2, 0, 0, kMost);
  EXPECT_EQ(pacing.Choose(Measured(2, 100, 0.01), 4, {0, 0}).decode_groups, 1);
}

TEST(PacingTest, AnswersAreSplitWhereItPays) {
  const Pace pace = Pacing(2, 0, 0, kMost).Choose(Measured(2, 1, 1), 16, {0, 0});
  EXPECT_EQ(pace.decode_groups, 2);
  EXPECT_EQ(pace.group_rows, 8);
  EXPECT_EQ(pace.steps_in_flight, 2);
}

// Steps that cost what their rows do: a group more than stages keeps these busy, and costs nothing.
TEST(PacingTest, OneGroupMoreThanStagesFillsTheGaps) {
  for (const int stages : {2, 4}) {
    const Pace pace = Pacing(stages, 0, 0, kMost).Choose(Measured(stages, 0.1, 1), 1000, {0, 0});
    EXPECT_EQ(pace.decode_groups, stages + 1);
    EXPECT_EQ(pace.steps_in_flight, stages + 1);
  }
  EXPECT_EQ(Pacing(1, 0, 0, kMost).Choose(Measured(1, 0.1, 1), 256, {0, 0}).decode_groups, 1);
}

// Between one row, which costs as much as reading the weights, and many, whose arithmetic does, a
// straight line is above what steps take. The middle is tried out, and left where it is slow;
// beside prompts it is not.
TEST(PacingTest, GroupsThatNobodyHasSeenAreTriedOut) {
  const auto groups = [](double middle_ms_per_row, const PromptTokens& prompts = {0, 0}) {
    StepTimes times(/*serial=*/false);
    const auto add = [&times](int32_t rows, double ms) {
      for (int i = 0; i < 4; ++i) times.Add(rows, {{ms}, {ms}}, 2 * ms + 0.1, true);
    };
    add(1, 8);
    add(32, 32);
    for (const int32_t rows : {21, 22}) {
      if (middle_ms_per_row > 0) add(rows, rows * middle_ms_per_row);
    }
    return Pacing(2, 0, 0, kMost).Choose(times, 64, prompts).decode_groups;
  };
  EXPECT_EQ(groups(0), 3);
  EXPECT_EQ(groups(1.2), 2);
  EXPECT_EQ(groups(1.0), 3);
  EXPECT_EQ(groups(0, {100, 100}), 2);
}

TEST(PacingTest, OneAnswerIsOneGroup) {
  const Pace pace = Pacing(4, 0, 0, kMost).Choose(Measured(4, 1, 1), 1, {0, 0});
  EXPECT_EQ(pace.decode_groups, 1);
  EXPECT_EQ(pace.group_rows, 1);
}

TEST(PacingTest, OneStageIsNeverSplit) {
  EXPECT_EQ(Pacing(1, 0, 0, kMost).Choose(Measured(1, 5, 1), 64, {0, 0}).decode_groups, 1);
}

TEST(PacingTest, SlowLinksWantMoreSteps) {
  // Three stages of 5 ms; 200 ms for the links: 215 ms round trip.
  const StepTimes times = Measured(3, 5, 0, 200);
  const Pace pace = Pacing(3, 0, 0, kMost).Choose(times, 1000, {0, 0});
  EXPECT_EQ(pace.steps_in_flight, 43);
  EXPECT_EQ(Pacing(3, 0, 0, 8).Choose(times, 1000, {0, 0}).steps_in_flight, 8);
}

TEST(PacingTest, APromptAloneKeepsAllStagesBusy) {
  const Pace pace = Pacing(2, 0, 0, kMost).Choose(Measured(2, 8, 1), 0, {512, 512});
  EXPECT_EQ(pace.steps_in_flight, 3);
  EXPECT_EQ(pace.step_rows, 64);
  // The longer, the larger; the more stages, the smaller.
  EXPECT_GT(Pacing(2, 0, 0, kMost).Choose(Measured(2, 8, 0.1), 0, {4000, 4000}).step_rows, 128);
  EXPECT_EQ(Pacing(64, 0, 0, kMost).Choose(Measured(64, 8, 1), 0, {512, 512}).step_rows,
            kMinPromptChunk);
  EXPECT_EQ(Pacing(1, 0, 0, kMost).Choose(Measured(1, 8, 0.1), 0, {512, 512}).step_rows,
            kMaxPromptChunk);
}

// Until the last row has left the last of `stages`, in rows; next_chunk(left) is the next step's.
template <typename NextChunk>
double RowsUntilThrough(int stages, double weight_rows, double slack, int32_t tokens,
                        const NextChunk& next_chunk) {
  std::vector<double> free(stages, 0);
  for (int32_t left = tokens; left > 0;) {
    const int32_t chunk = std::min(left, next_chunk(left));
    left -= chunk;
    double through = 0;
    for (int s = 0; s < stages; ++s) {
      const double speed = s + 1 == stages ? 1 + slack : 1;
      through = free[s] = std::max(free[s], through) + (chunk + weight_rows) / speed;
    }
  }
  return free.back();
}

TEST(PacingTest, NoEqualChunksAreThroughSooner) {
  constexpr int32_t kTokens = 4000;
  for (const int stages : {2, 3, 5}) {
    for (const double weight_rows : {2.0, 8.0, 40.0}) {
      for (const double slack : {0.0, 0.03, 0.1, 0.5}) {
        SCOPED_TRACE(absl::StrCat(stages, " stages, ", weight_rows, " rows, slack ", slack));
        const double rows =
            RowsUntilThrough(stages, weight_rows, slack, kTokens, [&](int32_t left) {
              return PromptChunk(stages, weight_rows, slack, {kTokens, left});
            });
        double best = RowsUntilThrough(stages, weight_rows, slack, kTokens,
                                       [](int32_t) { return kMinPromptChunk; });
        for (int32_t other = kMinPromptChunk + 1; other <= kMaxPromptChunk; ++other) {
          best = std::min(best, RowsUntilThrough(stages, weight_rows, slack, kTokens,
                                                 [&](int32_t) { return other; }));
        }
        EXPECT_LE(rows, best * 1.015);
        if (stages == 2 && slack > 0 && slack < 0.5) {
          EXPECT_LT(rows, best);
        }
      }
    }
  }
  EXPECT_EQ(PromptChunk(1, 8, 0, {4000, 4000}), kMaxPromptChunk);
}

TEST(PacingTest, NobodyWaitsLongForAStep) {
  const int32_t rows = Pacing(1, 0, 0, kMost).Choose(Measured(1, 8, 5), 0, {4000, 4000}).step_rows;
  EXPECT_LE(8 + 5 * rows, kLongestPromptStepMs);
  EXPECT_GT(rows, kMinPromptChunk);
}

TEST(PacingTest, AnswersKeepTheirPaceBesideAPrompt) {
  for (const int stages : {1, 2, 8}) {
    const StepTimes times = Measured(stages, 10, 1);
    const Pacing pacing(stages, 0, 0, kMost);
    for (const int32_t answers : {1, 8, 64}) {
      const Pace alone = pacing.Choose(times, answers, {0, 0});
      const double before = std::max(times.RoundTrip(alone.group_rows),
                                     alone.decode_groups * times.SlowestStage(alone.group_rows));
      const Pace pace = pacing.Choose(times, answers, {2000, 2000});
      const double after = pace.steps_in_flight * times.SlowestStage(pace.step_rows);
      EXPECT_LE(after, before * 2) << stages << " stages, " << answers << " answers";
      EXPECT_GT(pace.step_rows, pace.group_rows);
    }
  }
}

TEST(PacingTest, TheChunkThatWasAskedForIsUsed) {
  const StepTimes times = Measured(2, 8, 1);
  EXPECT_EQ(Pacing(2, 7, 0, kMost).Choose(times, 0, {512, 512}).step_rows, 7);
  EXPECT_LE(Pacing(2, 7, 0, kMost).Choose(times, 4, {512, 512}).step_rows, 2 + 7);
}

}  // namespace
}  // namespace baton
