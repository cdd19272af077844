#include "coordinator/cli/plan_report.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

PipelinePlan TwoStages() {
  PipelinePlan plan;
  plan.stages.push_back({{{0, 15}, true, false}, 3 << 20, {15 << 20}});
  plan.stages.push_back({{{15, 16}, false, true}, 1 << 20, {1 << 20}});
  return plan;
}

TEST(PlanTableTest, HasALinePerStage) {
  EXPECT_EQ(PlanTable(TwoStages(), {{}}, {"worker 0", "10.0.0.2:5000"}),
            "stage  worker         layers  ends        weights  share        KV\n"
            "0      worker 0       0-14    embedding  3.00 MiB    75%  15.0 MiB\n"
            "1      10.0.0.2:5000  15      head       1.00 MiB    25%  1.00 MiB\n");
}

TEST(PlanTableTest, SaysWhoHelpsWithTheHead) {
  PipelinePlan plan = TwoStages();
  for (PlannedStage& stage : plan.stages) stage.role.shared_logits = 64;
  const std::string table = PlanTable(plan, {{}}, {"a", "b"});
  EXPECT_THAT(table, testing::HasSubstr("embedding, part of head  3.00 MiB"));
  EXPECT_THAT(table, testing::HasSubstr("15      head                     1.00 MiB"));
}

TEST(PlanTableTest, SaysWhatWindowsTake) {
  PipelinePlan plan = TwoStages();
  plan.stages[0].kv_bytes = {8 << 20, 2 << 20};
  plan.stages[1].kv_bytes = {2 << 20, 0};
  const std::vector<CacheGroup> groups = {{.window = 0, .layers = {0, 2, 15}},
                                          {.window = 512, .layers = {1}}};
  EXPECT_THAT(PlanTable(plan, groups, {"a", "b"}),
              testing::EndsWith("\nKV cache 12.0 MiB: 10.0 MiB for 3 layers of full attention, "
                                "2.00 MiB for 1 with a window of 512\n"));
}

TEST(PlanJsonTest, HasTheFieldsOfTheContract) {
  const std::vector<StageStats> stats = {{3, 4, 5}, {6, 7, 8}};
  const nlohmann::ordered_json json = PlanJson(TwoStages(), {"a", "b"}, stats);
  EXPECT_EQ(
      json.at(1).dump(),
      R"({"stage":1,"worker":"b","first_layer":15,"last_layer":15,"embedding":false,)"
      R"("head":true,"shared_logits":0,"weight_bytes":1048576,"kv_bytes":1048576,"resident_bytes":8,"read_bytes":7})");
  EXPECT_FALSE(PlanJson(TwoStages(), {"a", "b"}, {}).at(0).contains("read_bytes"));
}

}  // namespace
}  // namespace baton
