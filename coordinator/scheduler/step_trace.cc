#include "coordinator/scheduler/step_trace.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace baton {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMicrosecondsPerMs = 1000.0;
constexpr int kCoordinatorRow = 0;

Json RowName(int row, const std::string& name) {
  return {{"name", "process_name"}, {"ph", "M"}, {"pid", row}, {"args", {{"name", name}}}};
}

std::string StepName(const StepRecord& record) {
  if (record.prompt_rows == 0) return absl::StrCat(record.decode_rows, " answers");
  if (record.decode_rows == 0) return absl::StrCat(record.prompt_rows, " of prompts");
  return absl::StrCat(record.decode_rows, " answers, ", record.prompt_rows, " of prompts");
}

Json StepArguments(const StepRecord& record) {
  return {{"step", record.step},
          {"decode_rows", record.decode_rows},
          {"prompt_rows", record.prompt_rows}};
}

// In flight: overlapping steps, told apart by their number.
void TellFlight(const StepRecord& record, const std::function<void(Json)>& tell) {
  const Json common = {{"name", StepName(record)},
                       {"cat", "step"},
                       {"pid", kCoordinatorRow},
                       {"tid", 0},
                       {"id", record.step}};
  Json begin = common;
  begin["ph"] = "b";
  begin["ts"] = record.submitted_ms * kMicrosecondsPerMs;
  begin["args"] = StepArguments(record);
  Json end = common;
  end["ph"] = "e";
  end["ts"] = record.returned_ms * kMicrosecondsPerMs;
  tell(std::move(begin));
  tell(std::move(end));
}

// When a stage began and ended each step: by its own clock first, then shifted.
struct Interval {
  double begin_ms = 0;
  double end_ms = 0;
};

std::vector<Interval> StageRow(const std::vector<StepRecord>& records, size_t stage) {
  std::vector<Interval> row;
  double now_ms = 0;
  for (const StepRecord& record : records) {
    const StageTiming& timing = record.stages[stage];
    const double begin_ms = now_ms + timing.input_wait_ms;
    now_ms = begin_ms + timing.compute_ms;
    row.push_back({begin_ms, now_ms});
  }
  return row;
}

// So that no step begins before `earliest_ms` of it, and one begins just then.
void Shift(const std::vector<double>& earliest_ms, std::vector<Interval>& row) {
  double shift_ms = -std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < row.size(); ++i) {
    shift_ms = std::max(shift_ms, earliest_ms[i] - row[i].begin_ms);
  }
  for (Interval& interval : row) {
    interval.begin_ms += shift_ms;
    interval.end_ms += shift_ms;
  }
}

}  // namespace

void StepTrace::Add(const StepRecord& record) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (records_.size() < kMostTracedSteps) records_.push_back(record);
}

void StepTrace::TellEvents(const std::function<void(Json)>& tell) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  tell(RowName(kCoordinatorRow, "coordinator: steps in flight"));
  std::vector<double> earliest_ms;
  for (const StepRecord& record : records_) {
    TellFlight(record, tell);
    earliest_ms.push_back(record.submitted_ms);
  }
  const size_t stages = records_.empty() ? 0 : records_[0].stages.size();
  for (size_t stage = 0; stage < stages; ++stage) {
    const int row_id = static_cast<int>(stage) + 1;
    tell(RowName(row_id, absl::StrCat("stage ", stage)));
    std::vector<Interval> row = StageRow(records_, stage);
    Shift(earliest_ms, row);
    for (size_t i = 0; i < row.size(); ++i) {
      Json arguments = StepArguments(records_[i]);
      arguments["send_wait_ms"] = records_[i].stages[stage].send_wait_ms;
      tell({{"name", StepName(records_[i])},
            {"cat", "compute"},
            {"ph", "X"},
            {"pid", row_id},
            {"tid", 0},
            {"ts", row[i].begin_ms * kMicrosecondsPerMs},
            {"dur", (row[i].end_ms - row[i].begin_ms) * kMicrosecondsPerMs},
            {"args", std::move(arguments)}});
      earliest_ms[i] = row[i].end_ms;
    }
  }
}

Json StepTrace::Events() const {
  Json events = Json::array();
  TellEvents([&events](Json event) { events.push_back(std::move(event)); });
  return events;
}

absl::Status StepTrace::Write(const std::string& path) const {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "wb"), std::fclose);
  bool written = file != nullptr;
  const auto put = [&](const std::string& text) {
    written = written && std::fwrite(text.data(), 1, text.size(), file.get()) == text.size();
  };
  put("{\"traceEvents\":");
  const char* separator = "[";
  // One at a time: all of them as JSON would be many times the memory of the records.
  TellEvents([&](const Json& event) {
    put(absl::StrCat(separator, event.dump()));
    separator = ",\n";
  });
  put("],\"displayTimeUnit\":\"ms\"}\n");
  written = written && std::fflush(file.get()) == 0;
  return written ? absl::OkStatus()
                 : absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
}

}  // namespace baton
