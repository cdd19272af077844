// A call under way: from the scheduler's tokens to the client's text.
#ifndef BATON_COORDINATOR_API_GENERATION_H_
#define BATON_COORDINATOR_API_GENERATION_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "coordinator/api/generation_call.h"
#include "coordinator/api/metrics.h"
#include "coordinator/api/served_model.h"
#include "coordinator/http/http_message.h"
#include "coordinator/scheduler/scheduler.h"

namespace baton {

// Submits the call's requests; `reply` gets the answer as it comes, whole or as a stream. A client
// that goes away ends them. Errors of Scheduler::Submit(): then nothing is under way, and `reply`
// is still to be answered. All outlive the scheduler's last request. `on_failure`, called from a
// thread of the scheduler, hears that the pipeline is lost.
absl::Status StartGeneration(GenerationCall call, const ServedModel& model, Scheduler& scheduler,
                             ApiMetrics& metrics, std::shared_ptr<HttpReply> reply,
                             std::function<void(const absl::Status&)> on_failure);

}  // namespace baton

#endif  // BATON_COORDINATOR_API_GENERATION_H_
