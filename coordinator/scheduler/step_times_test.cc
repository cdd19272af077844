#include "coordinator/scheduler/step_times.h"

#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

// Of two stages, the second the slower one.
std::vector<StageTiming> Stages(double ms) {
  std::vector<StageTiming> stages(2);
  stages[0].compute_ms = ms / 2;
  stages[1].compute_ms = ms;
  return stages;
}

void AddSteps(StepTimes& times, int32_t rows, double ms) {
  for (int i = 0; i < 100; ++i) times.Add(rows, Stages(ms), 2 * ms, /*alone=*/false);
}

TEST(StepTimesTest, BeforeAnythingIsMeasuredStepsTakeNoTime) {
  const StepTimes times(/*serial=*/false);
  EXPECT_EQ(times.SlowestStage(8), 0);
  EXPECT_EQ(times.RowsWithin(1, 100), 100);
}

TEST(StepTimesTest, OneMeasurementIsStretchedByWhatWeightsCost) {
  StepTimes times(/*serial=*/false, /*weight_rows=*/4);
  AddSteps(times, 4, 16);
  EXPECT_DOUBLE_EQ(times.SlowestStage(12), 32);
  EXPECT_DOUBLE_EQ(times.AllStages(12), 48);
}

TEST(StepTimesTest, AnswersAloneAreToldApartFromThoseBesideAPrompt) {
  StepTimes times(/*serial=*/false);
  AddSteps(times, 4, 14);
  AddSteps(times, 7, 26);
  EXPECT_DOUBLE_EQ(times.SlowestStage(4), 14);
  EXPECT_DOUBLE_EQ(times.SlowestStage(7), 26);
  EXPECT_DOUBLE_EQ(times.RowsWithin(22, 100), 6);
  EXPECT_DOUBLE_EQ(times.RowsWithin(20, 100), 5.5);
}

TEST(StepTimesTest, ADisturbedStepChangesLittle) {
  StepTimes times(/*serial=*/false);
  AddSteps(times, 4, 14);
  times.Add(4, Stages(1000), 2000, /*alone=*/false);
  EXPECT_LT(times.SlowestStage(4), 15);
  AddSteps(times, 4, 30);
  EXPECT_NEAR(times.SlowestStage(4), 30, 0.1);
}

TEST(StepTimesTest, EveryNumberOfRowsHasItsPlace) {
  for (int32_t rows = 1; rows <= kMaxBatchRows; ++rows) {
    StepTimes times(/*serial=*/false);
    times.Add(rows, Stages(5), 10, /*alone=*/false);
    ASSERT_DOUBLE_EQ(times.SlowestStage(rows), 5) << rows;
  }
}

TEST(StepTimesTest, AWayIsAsLongAsTheFastestLoneStepShows) {
  StepTimes times(/*serial=*/false);
  times.Add(1, Stages(10), 17, /*alone=*/true);
  times.Add(1, Stages(10), 40, /*alone=*/true);
  times.Add(1, Stages(10), 15.5, /*alone=*/false);
  EXPECT_DOUBLE_EQ(times.RoundTrip(1), 17);
}

TEST(StepTimesTest, OfTheFirstStepsTheFastestCounts) {
  StepTimes times(/*serial=*/false);
  times.Add(8, Stages(40), 80, /*alone=*/false);
  times.Add(8, Stages(28), 56, /*alone=*/false);
  times.Add(8, Stages(29), 58, /*alone=*/false);
  EXPECT_DOUBLE_EQ(times.SlowestStage(8), 28);
  AddSteps(times, 8, 30);
  EXPECT_NEAR(times.SlowestStage(8), 30, 0.1);
}

TEST(StepTimesTest, WhatWasHardlyEverSeenMayCostNoMoreThanItMust) {
  StepTimes times(/*serial=*/false);
  EXPECT_EQ(times.SlowestStageAtBest(4), 0);
  times.Add(1, {{9.0}}, 9, /*alone=*/true);
  times.Add(16, {{24.0}}, 24, /*alone=*/true);
  EXPECT_EQ(times.SlowestStage(8), 16);
  EXPECT_EQ(times.SlowestStageAtBest(8), 12);                              // half of 16 rows
  EXPECT_EQ(times.SlowestStageAtBest(4), 9);                               // no less than one row
  EXPECT_EQ(times.SlowestStageAtBest(20), 24);                             // no less than 16 rows
  for (int i = 0; i < 3; ++i) times.Add(8, {{20.0}}, 20, /*alone=*/true);  // disturbed, perhaps
  EXPECT_EQ(times.SlowestStageAtBest(8), 12);
  times.Add(8, {{20.0}}, 20, /*alone=*/true);
  EXPECT_EQ(times.SlowestStageAtBest(8), 20);
}

}  // namespace
}  // namespace baton
