#include "engine/pipeline/plan.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

ModelBytes BytesOf(std::vector<uint64_t> layers, uint64_t embedding, uint64_t head) {
  ModelBytes bytes;
  bytes.layers = std::move(layers);
  bytes.embedding = embedding;
  bytes.head = head;
  return bytes;
}

std::string TextOf(const PipelinePlan& plan) {
  std::string text;
  for (const PlannedStage& stage : plan.stages) {
    text += (text.empty() ? "" : ",") + std::to_string(stage.role.layers.begin) + "-" +
            std::to_string(stage.role.layers.end - 1);
    if (stage.role.embedding) text += "e";
    if (stage.role.head) text += "h";
  }
  return text;
}

uint64_t Largest(const PipelinePlan& plan) {
  uint64_t largest = 0;
  for (const PlannedStage& stage : plan.stages) largest = std::max(largest, stage.weight_bytes);
  return largest;
}

TEST(PlanTest, EqualLayersAreSplitEvenly) {
  const ModelBytes bytes = BytesOf(std::vector<uint64_t>(6, 10), 0, 0);
  EXPECT_EQ(TextOf(*PlanByBytes(bytes, 1)), "0-5eh");
  EXPECT_EQ(TextOf(*PlanByBytes(bytes, 2)), "0-2e,3-5h");
  EXPECT_EQ(TextOf(*PlanByBytes(bytes, 3)), "0-1e,2-3,4-5h");
}

TEST(PlanTest, EmbeddingAndHeadCount) {
  const ModelBytes bytes = BytesOf(std::vector<uint64_t>(6, 10), 0, 30);
  EXPECT_EQ(TextOf(*PlanByBytes(bytes, 2)), "0-3e,4-5h");
  EXPECT_EQ(PlanByBytes(bytes, 2)->stages[1].weight_bytes, 50u);
}

TEST(PlanTest, AmongEqualsTheEarliestCutsWin) {
  // The head alone makes the largest stage, so the first cut is free from 0 to 2.
  const ModelBytes bytes = BytesOf({1, 1, 1, 1, 1}, 0, 100);
  EXPECT_EQ(TextOf(*PlanByBytes(bytes, 3)), "0-0e,1-3,4-4h");
}

TEST(PlanTest, IsExactAgainstEveryPossibleCut) {
  const std::vector<uint64_t> layers = {7, 3, 9, 1, 8, 2, 12, 4};
  const ModelBytes bytes = BytesOf(layers, 11, 17);
  uint64_t best = UINT64_MAX;
  for (int first = 1; first < 8; ++first) {
    for (int second = first + 1; second < 8; ++second) {
      best = std::min(best, std::max({CountStageBytes(bytes, 0, first, true, false),
                                      CountStageBytes(bytes, first, second, false, false),
                                      CountStageBytes(bytes, second, 8, false, true)}));
    }
  }
  EXPECT_EQ(Largest(*PlanByBytes(bytes, 3)), best);
}

TEST(PlanTest, TiedEmbeddingCountsAtBothEndsButOnceInOneStage) {
  ModelBytes bytes = BytesOf({10, 10}, 40, 41);
  bytes.tied = 40;
  bytes.every_stage = 2;
  EXPECT_EQ(PlanByBytes(bytes, 1)->stages[0].weight_bytes, 63u);
  EXPECT_EQ(PlanByBytes(bytes, 2)->stages[0].weight_bytes, 52u);
  EXPECT_EQ(PlanByBytes(bytes, 2)->stages[1].weight_bytes, 53u);
}

// Layers of 100 MiB and an output matrix of 1,024 rows of 64 KiB.
ModelBytes WithLargeHead(int layer_count) {
  ModelBytes bytes = BytesOf(std::vector<uint64_t>(layer_count, 100 << 20), 5000, (64 << 20) + 8);
  bytes.output_rows = 1024;
  bytes.output_row = 64 << 10;
  return bytes;
}

std::vector<int> SharedLogits(const ModelBytes& bytes, absl::string_view ranges, int stages) {
  PipelinePlan plan = *PlanFromRanges(bytes, ranges, stages);
  uint64_t before = 0, after = 0;
  for (const PlannedStage& stage : plan.stages) before += stage.weight_bytes;
  ShareHead(bytes, plan);
  std::vector<int> shared;
  for (const PlannedStage& stage : plan.stages) {
    shared.push_back(stage.role.shared_logits);
    after += stage.weight_bytes;
  }
  EXPECT_EQ(after, before);
  return shared;
}

TEST(PlanTest, TheLastTwoStagesShareALargeHead) {
  const ModelBytes bytes = WithLargeHead(6);
  // A little less than half: it passes from one to the other.
  EXPECT_EQ(SharedLogits(bytes, "0-2,3-5", 2), (std::vector<int>{448, 448}));
  EXPECT_EQ(SharedLogits(bytes, "0-1,2-3,4-5", 3), (std::vector<int>{0, 448, 448}));
  // The last stage has more than the head to catch up with: still no more than that.
  EXPECT_EQ(SharedLogits(bytes, "0-1,2-5", 2), (std::vector<int>{448, 448}));
}

TEST(PlanTest, AHeadIsNotSharedWhereThatWouldNotPay) {
  EXPECT_EQ(SharedLogits(WithLargeHead(6), "0-5", 1), std::vector<int>{0});
  // The last stage has less to read, with its head.
  EXPECT_EQ(SharedLogits(WithLargeHead(6), "0-3,4-5", 2), (std::vector<int>{0, 0}));
  ModelBytes small = WithLargeHead(6);
  small.output_rows = 32;
  EXPECT_EQ(SharedLogits(small, "0-2,3-5", 2), (std::vector<int>{0, 0}));
}

TEST(PlanTest, ASharedHeadOfATiedModelIsInItsEmbedding) {
  ModelBytes bytes = WithLargeHead(2);
  bytes.embedding = bytes.tied = 64 << 20;
  PipelinePlan plan = *PlanByBytes(bytes, 2);
  const uint64_t first = plan.stages[0].weight_bytes, last = plan.stages[1].weight_bytes;
  ShareHead(bytes, plan);
  EXPECT_EQ(plan.stages[0].weight_bytes, first);
  EXPECT_EQ(plan.stages[1].weight_bytes, last - 448 * (64 << 10));
}

TEST(PlanTest, StageCountIsBounded) {
  const ModelBytes bytes = BytesOf({1, 1}, 0, 0);
  EXPECT_EQ(PlanByBytes(bytes, 3).status().message(),
            "3 stages were asked for; the model's 2 layers make 1 to 2");
  EXPECT_FALSE(PlanByBytes(bytes, 0).ok());
}

TEST(PlanTest, RangesByHand) {
  const ModelBytes bytes = BytesOf({1, 2, 3, 4}, 10, 20);
  const absl::StatusOr<PipelinePlan> plan = PlanFromRanges(bytes, "0-0,1-3", 2);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(TextOf(*plan), "0-0e,1-3h");
  EXPECT_EQ(plan->stages[1].weight_bytes, 29u);
  const absl::StatusOr<PipelinePlan> single = PlanFromRanges(bytes, "0,1-3", 2);
  ASSERT_TRUE(single.ok()) << single.status();
  EXPECT_EQ(TextOf(*single), "0-0e,1-3h");
}

TEST(PlanTest, WrongRangesAreNamed) {
  const ModelBytes bytes = BytesOf({1, 2, 3, 4}, 10, 20);
  const auto message = [&bytes](const char* ranges, int stage_count) {
    return std::string(PlanFromRanges(bytes, ranges, stage_count).status().message());
  };
  EXPECT_EQ(message("0-1,3-3", 2), "layer range 3-3 begins at 3, expected 2");
  EXPECT_EQ(message("0-1,2-4", 2), "layer range 2-4 ends at 4, expected 2 to 3");
  EXPECT_EQ(message("0-1,2-2", 2), "layer ranges \"0-1,2-2\" end at layer 2, expected 3");
  EXPECT_EQ(message("0-3,4-4", 2), "layer range 4-4 comes after the last layer, 3");
  EXPECT_EQ(message("0-3", 2), "layer ranges \"0-3\" are 1, expected one for each of 2 stages");
  EXPECT_EQ(message("x,2-3", 2), "layer range \"x\", expected FIRST-LAST as in 0-3");
  EXPECT_EQ(message("0-1,-3", 2), "layer range \"-3\", expected FIRST-LAST as in 2-3");
}

}  // namespace
}  // namespace baton
