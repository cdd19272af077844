// The seam between arithmetic and transport.
//
// A Stage is a function over a batch and a pool of KV blocks: it runs its layers and remembers
// nothing else about any request. Blocks are allocated by the coordinator alone, with the same ids
// on every stage. A position is authoritative: writing it again overwrites, so replays need no
// rollback. Steps run strictly in order.
#ifndef BATON_ENGINE_PIPELINE_STAGE_H_
#define BATON_ENGINE_PIPELINE_STAGE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/pipeline/batch.h"

namespace baton {

// Layers [begin, end).
struct LayerRange {
  int begin = 0;
  int end = 0;
  int size() const { return end - begin; }
};

// What a stage owns. Embedding and head are explicit, never derived from the range's position.
struct StageRole {
  LayerRange layers;
  bool embedding = false;  // tokens -> hidden rows
  bool head = false;       // final norm, output matrix, sampling
  // The head's stage and the one before it may share the output matrix: the latter has the first so
  // many of its rows, and computes these logits, while the former computes the others. On all other
  // stages, and where nothing is shared, 0.
  int32_t shared_logits = 0;
};

// What a stage makes of a batch.
struct StageOutput {
  // Without the head: the next stage's Batch::hidden, [row_count][width], and Batch::failures.
  std::vector<float> hidden;
  std::vector<SpanFailure> failures;
  std::vector<SpanOutput> outputs;  // with the head: one per span
  // With a head that shares its matrix: waits for the partner and makes the outputs, which are not
  // there yet. Called once, on any thread, also beside the next Forward; until then batch and
  // OutputSpecs must stay where they are. Fails with the partner's error.
  std::function<absl::StatusOr<std::vector<SpanOutput>>()> finish;
};

// What a stage can say of itself, for the plan and the final statistics.
struct StageStats {
  uint64_t weight_bytes = 0;    // file bytes of its tensors
  uint64_t read_bytes = 0;      // bytes that its loader took from the file
  uint64_t resident_bytes = 0;  // RSS of its process
};

// Rows whose logits are asked for at a time: a vocabulary of floats each.
inline constexpr int64_t kMaxHeadRows = 32;
// Requests that a partner may have: two for each of two steps, so that it goes on while what it has
// given is fetched and used.
inline constexpr int kMaxHeadRequests = 4;

// Candidates of a row that are asked for: where more can matter, sorting them out costs more than
// sending all logits.
inline constexpr int32_t kMaxHeadCandidates = 256;

// Rows whose shared logits the head's stage asks for.
struct HeadRequest {
  int64_t count = 0;        // at most kMaxHeadRows
  std::vector<float> rows;  // [count][width], which have gone through the final norm
  // So many of each row's shared logits can matter, its likeliest, at most kMaxHeadCandidates; in
  // the reply likelier ones come first, and of equals those with lower ids. 0: all.
  int32_t candidates = 0;
};

// And what they are.
struct HeadShare {
  // [count][shared_logits]; or [count][candidates], of a row that is not finite NaN.
  std::vector<float> logits;
  std::vector<int32_t> ids;  // of candidates
};

// The stage before the head's, as that one sees it where they share the output matrix. Thread-safe.
class HeadPartner {
 public:
  virtual ~HeadPartner() = default;
  // Asks it. Returns the request's number. At most kMaxHeadRequests may be unfinished.
  virtual absl::StatusOr<int64_t> Begin(HeadRequest request) = 0;
  // Waits for what was asked. Once for each request, in any order.
  virtual absl::StatusOr<HeadShare> Finish(int64_t request) = 0;
};

// Not thread-safe: one step at a time.
class Stage {
 public:
  virtual ~Stage() = default;
  virtual const StageRole& role() const = 0;
  // `outputs` has one entry per span where the stage has the head; it is ignored elsewhere.
  // InvalidArgument: the batch breaks a bound (token, position, block id, rows). Hidden rows or
  // logits that are not finite fail their span alone: Internal, naming layers and position.
  virtual absl::StatusOr<StageOutput> Forward(const Batch& batch,
                                              const std::vector<OutputSpec>& outputs) = 0;
  // Where a head that shares its matrix finds the other stage; before the first step. Forward ends
  // with the partner's error where it has one.
  virtual void SetHeadPartner(HeadPartner* partner) = 0;
  // What a HeadPartner computes, at a stage without the head that has shared logits.
  virtual absl::StatusOr<HeadShare> SharedLogits(const HeadRequest& request) = 0;
  // Called by Forward between products of matrices: a moment at which SharedLogits may be called.
  // The head does not wait until a long step is done.
  virtual void SetBetweenProducts(std::function<void()> visit) = 0;
  virtual StageStats Stats() const = 0;
};

// A chain of stages, in this process or beyond. Submit and Next are used by different threads or
// by one; each alone is used by one thread at a time.
class Pipeline {
 public:
  virtual ~Pipeline() = default;
  virtual int stage_count() const = 0;
  // Stages that can work at the same time.
  virtual int parallel_stages() const { return stage_count(); }
  // Starts a step. The pipeline sets batch.epoch; batch.step must be the next one. May block while
  // too many steps are in flight, never for compute alone.
  virtual absl::Status Submit(Batch batch, std::vector<OutputSpec> outputs) = 0;
  // Waits for the result of the oldest step that was submitted and not yet returned.
  virtual absl::StatusOr<StepResult> Next() = 0;
  // One per stage, first to last.
  virtual absl::StatusOr<std::vector<StageStats>> Stats() = 0;
};

}  // namespace baton

#endif  // BATON_ENGINE_PIPELINE_STAGE_H_
