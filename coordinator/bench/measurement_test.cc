#include "coordinator/bench/measurement.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using testing::ElementsAre;

TEST(MeasurementTest, ListsEveryCombination) {
  BenchMatrix matrix;
  matrix.prompt_tokens = {512, 0};
  matrix.sequence_counts = {1, 4};
  matrix.depths = {0, 4096};
  std::vector<std::string> names;
  for (const BenchTest& test : ListTests(matrix)) names.push_back(test.Name());
  EXPECT_THAT(names, ElementsAre("pp512", "tg128", "pp512 x 4", "tg128 x 4", "pp512 @ d4096",
                                 "tg128 @ d4096", "pp512 x 4 @ d4096", "tg128 x 4 @ d4096"));
}

TEST(MeasurementTest, ShapesOfATest) {
  const StepShape prompt = BenchTest{.prompt_tokens = 10, .sequence_count = 2}.Shape();
  EXPECT_EQ(prompt.row_count, 20);
  EXPECT_EQ(prompt.logit_count, 2);
  // Three steps see 8, 9 and 10 positions.
  const StepShape step = BenchTest{.generated_tokens = 3, .sequence_count = 2, .depth = 7}.Shape();
  EXPECT_EQ(step.row_count, 2);
  EXPECT_EQ(step.logit_count, 2);
  EXPECT_EQ(step.read_positions, 2 * 9);
}

TEST(MeasurementTest, TheNearestLimitIsNamed) {
  const StepWork work = {.int8_operations = 6e9, .f32_operations = 1e9, .read_bytes = 10e9};
  const HardwarePeaks peaks = {
      .int8_operations = 2e9, .f32_operations = 1e9, .read_bytes = 5e9};  // 3 + 1 and 2 s
  const std::optional<Limit> arithmetic = NearestLimit(work, 8, peaks);
  ASSERT_TRUE(arithmetic.has_value());
  EXPECT_STREQ(LimitName(arithmetic->kind), "int8");
  EXPECT_EQ(arithmetic->value, 2);
  EXPECT_EQ(arithmetic->share, 0.5);

  const std::optional<Limit> memory = NearestLimit(work, 10, {.read_bytes = 2e9});
  ASSERT_TRUE(memory.has_value());
  EXPECT_STREQ(LimitName(memory->kind), "bandwidth");
  EXPECT_EQ(memory->value, 2);
  EXPECT_EQ(memory->share, 0.5);

  EXPECT_EQ(NearestLimit(work, 1, {.f32_operations = 1e9})->kind, LimitKind::kF32);
  EXPECT_FALSE(NearestLimit(work, 1, {}).has_value());
}

TEST(MeasurementTest, Statistics) {
  BenchResult result;
  result.tokens_per_second = {2, 4, 9};
  EXPECT_EQ(result.Mean(), 5);
  EXPECT_NEAR(result.StandardDeviation(), 3.6056, 1e-4);
  EXPECT_EQ(Median({9, 2, 4}), 4);
  EXPECT_EQ(Median({9, 2, 4, 5}), 4.5);
  result.tokens_per_second = {7};
  EXPECT_EQ(result.StandardDeviation(), 0);
}

}  // namespace
}  // namespace baton
