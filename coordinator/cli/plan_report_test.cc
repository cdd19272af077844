#include "coordinator/cli/plan_report.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

PipelinePlan TwoStages() {
  PipelinePlan plan;
  plan.stages.push_back({{{0, 15}, true, false}, 3 << 20});
  plan.stages.push_back({{{15, 16}, false, true}, 1 << 20});
  return plan;
}

TEST(PlanTableTest, HasALinePerStage) {
  EXPECT_EQ(PlanTable(TwoStages(), {"worker 0", "10.0.0.2:5000"}),
            "stage  worker         layers  ends        weights  share\n"
            "0      worker 0       0-14    embedding  3.00 MiB    75%\n"
            "1      10.0.0.2:5000  15      head       1.00 MiB    25%\n");
}

TEST(PlanJsonTest, HasTheFieldsOfTheContract) {
  const std::vector<StageStats> stats = {{3, 4, 5}, {6, 7, 8}};
  const nlohmann::ordered_json json = PlanJson(TwoStages(), {"a", "b"}, stats);
  EXPECT_EQ(json.at(1).dump(),
            R"({"stage":1,"worker":"b","first_layer":15,"last_layer":15,"embedding":false,)"
            R"("head":true,"weight_bytes":1048576,"resident_bytes":8,"read_bytes":7})");
  EXPECT_FALSE(PlanJson(TwoStages(), {"a", "b"}, {}).at(0).contains("read_bytes"));
}

}  // namespace
}  // namespace baton
