#include "coordinator/scheduler/step_trace.h"

#include <fstream>
#include <map>

#include "gtest/gtest.h"

namespace baton {
namespace {

StepRecord Record(uint64_t step, double submitted_ms, double returned_ms,
                  std::vector<StageTiming> stages) {
  StepRecord record;
  record.step = step;
  record.decode_rows = 4;
  record.submitted_ms = submitted_ms;
  record.returned_ms = returned_ms;
  record.stages = std::move(stages);
  return record;
}

TEST(StepTraceTest, PutsTheStagesWhereCausesAllow) {
  StepTrace trace;
  // The first stage computes 10 and 10 ms with 2 between them; the second 5 and 5, 7 between them.
  trace.Add(Record(0, 100, 120, {{10, 1000, 0}, {5, 50, 0}}));
  trace.Add(Record(1, 101, 130, {{10, 2, 0}, {5, 7, 0}}));
  std::map<int, std::vector<std::pair<double, double>>> slices;  // begin and length in us, by row
  for (const auto& event : trace.Events()) {
    if (event["ph"] == "X") slices[event["pid"]].emplace_back(event["ts"], event["dur"]);
  }
  using Row = std::vector<std::pair<double, double>>;
  EXPECT_EQ(slices[1], (Row{{100e3, 10e3}, {112e3, 10e3}}));
  // Its first step can begin at 110, its second at 122, which lies 12 after the first's begin.
  EXPECT_EQ(slices[2], (Row{{110e3, 5e3}, {122e3, 5e3}}));
}

TEST(StepTraceTest, TellsStepsInFlight) {
  StepTrace trace;
  trace.Add(Record(7, 1, 3, {{1, 0, 0}}));
  int begins = 0, ends = 0;
  for (const auto& event : trace.Events()) {
    if (event["ph"] == "b") {
      ++begins;
      EXPECT_EQ(event["ts"], 1000);
      EXPECT_EQ(event["args"]["step"], 7);
    }
    if (event["ph"] == "e") {
      ++ends;
      EXPECT_EQ(event["ts"], 3000);
    }
  }
  EXPECT_EQ(begins, 1);
  EXPECT_EQ(ends, 1);
}

TEST(StepTraceTest, WritesAFile) {
  StepTrace trace;
  trace.Add(Record(0, 1, 3, {{1, 0, 0}}));
  trace.Add(Record(1, 2, 4, {{1, 0, 0}}));
  const std::string path = testing::TempDir() + "/trace.json";
  EXPECT_TRUE(trace.Write(path).ok());
  const auto json = nlohmann::ordered_json::parse(std::ifstream(path));
  EXPECT_EQ(json["traceEvents"], trace.Events());
  EXPECT_EQ(json["displayTimeUnit"], "ms");
  const absl::Status status = trace.Write("/no/such/folder/trace.json");
  EXPECT_NE(status.message().find("/no/such/folder"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace baton
