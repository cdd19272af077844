// A picture of a run: which stage computed which step when, for Perfetto and chrome://tracing.
#ifndef BATON_COORDINATOR_SCHEDULER_STEP_TRACE_H_
#define BATON_COORDINATOR_SCHEDULER_STEP_TRACE_H_

#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/scheduler/scheduler.h"
#include "nlohmann/json.hpp"

namespace baton {

// Steps that are kept; those after them are left out. At 200 bytes each: 200 MB.
inline constexpr size_t kMostTracedSteps = 1'000'000;

// Thread-safe.
class StepTrace {
 public:
  // An on_step of SchedulerOptions.
  void Add(const StepRecord& record);

  // The trace event format: a row for the coordinator, with the steps in flight, and one for each
  // stage, with what it computed. Clocks of machines are not compared. A stage tells intervals,
  // which make a row; the row is shifted as far to the left as causes allow: no step starts before
  // it was sent, or before the stage in front was done with it. So the quickest link seems to take
  // no time.
  nlohmann::ordered_json Events() const;

  // Events() into a file. Errors name it.
  absl::Status Write(const std::string& path) const;

 private:
  void TellEvents(const std::function<void(nlohmann::ordered_json)>& tell) const;

  mutable std::mutex mutex_;
  std::vector<StepRecord> records_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_STEP_TRACE_H_
