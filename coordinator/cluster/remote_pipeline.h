// A chain of workers beyond this process.
//
// The coordinator holds a lease on each worker (its Configure stream), feeds the first stage and
// reads results from the last. Any stream that breaks ends the pipeline: Submit and Next then give
// one Unavailable status that names the worker which is the cause. A stage that fails on a step
// (Internal, InvalidArgument) ends that step alone: Next gives its status, and the next call the
// next step's result.
#ifndef BATON_COORDINATOR_CLUSTER_REMOTE_PIPELINE_H_
#define BATON_COORDINATOR_CLUSTER_REMOTE_PIPELINE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/cluster/worker_endpoint.h"
#include "engine/gguf/gguf_file.h"
#include "engine/model/model_spec.h"
#include "engine/pipeline/plan.h"
#include "engine/pipeline/stage.h"
#include "proto/version.h"

namespace baton {

// While workers load, one of them reports something more often than this, or else they are stuck.
inline constexpr std::chrono::seconds kLoadSilence{120};
// Wiring the chain is a dial per stage, the probe a step of one token.
inline constexpr std::chrono::seconds kWiringTimeout{30};
// Between the first sign that something broke and the error: the cause may be reported by another
// stream, a moment after its consequences.
inline constexpr std::chrono::milliseconds kBlameGrace{300};

struct RemotePipelineOptions {
  std::string kv_type = "f16";           // as KvTypeName() says it
  std::string activations = "int8";      // or "f32"
  std::vector<int32_t> kv_block_counts;  // of every stage, by cache group of the model
  int32_t context_length = 0;            // most positions of a sequence
  int32_t asked_context = 0;             // of NumericOptions
  // Steps that may be inside one stage at once, or on the way to it: covers links of 50 ms around
  // stages of 5 ms, with room.
  int window = 64;
  Versions versions = {};
};

// `stage` says which worker; called by one thread at a time, possibly not the caller's.
using LoadProgress = std::function<void(int stage, uint64_t bytes_done, uint64_t bytes_total)>;

class RemotePipeline : public Pipeline {
 public:
  // Worker i becomes stage i of the plan. Shakes hands with all workers, has them load at once,
  // wires the chain and sends a probe token through every stage. Errors name the worker.
  // The probe overwrites position 0 of KV block 0.
  static absl::StatusOr<std::unique_ptr<RemotePipeline>> Connect(
      std::vector<WorkerEndpoint> workers, const PipelinePlan& plan, const ModelIdentity& identity,
      const ModelSpec& spec, const RemotePipelineOptions& options, const LoadProgress& progress);

  // Makes a Submit or Next that waits, and all later ones, return Cancelled. Thread-safe.
  virtual void Cancel() = 0;
  // "worker 1 (pid 1234, layers 15-29)".
  virtual std::string WorkerName(int stage) const = 0;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_CLUSTER_REMOTE_PIPELINE_H_
