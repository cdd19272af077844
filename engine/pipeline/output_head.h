// From hidden rows to what was asked for: the final norm, the output matrix, sampling.
//
// Two stages may share the matrix (stage.h). Then both have a head: the last stage's asks the
// other's, and goes on with the next step while its answer is on the way. Of most samples a few
// candidates of each row decide (SampledCandidates), and nothing else is sent.
#ifndef BATON_ENGINE_PIPELINE_OUTPUT_HEAD_H_
#define BATON_ENGINE_PIPELINE_OUTPUT_HEAD_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/matmul.h"
#include "engine/model/layer_runner.h"
#include "engine/model/model_spec.h"
#include "engine/model/weights.h"
#include "engine/pipeline/batch.h"
#include "engine/pipeline/stage.h"
#include "engine/sampling/sampler.h"

namespace baton {

// Consecutive rows of a span.
struct RowRange {
  int64_t first = 0;
  int64_t count = 0;
};

// Those of a span with so many rows that its output is made of.
RowRange RowsWithLogits(const OutputSpec& spec, int64_t row_count);

// Not thread-safe, but for what StageOutput says of its `finish`.
class OutputHead {
 public:
  // All but the matrix outlive it. `matrix` has the rows that this stage computes; `norm` is empty
  // where the stage has shared logits alone.
  OutputHead(const ModelSpec& spec, const StageRole& role, const Kernels& kernels, ThreadPool& pool,
             const Norm& norm, PackedMatrix matrix)
      : spec_(spec),
        role_(role),
        kernels_(kernels),
        pool_(pool),
        norm_(norm),
        matrix_(std::move(matrix)) {}

  void SetPartner(HeadPartner* partner) { partner_ = partner; }

  // What a stage with the head makes of its last layer's rows, [step.row_count][width]: those with
  // logits. `statuses`, one per span: not OK where nothing is to be made of it.
  absl::StatusOr<StageOutput> Run(const Batch& batch, const StepRows& step,
                                  std::vector<absl::Status> statuses, const float* hidden,
                                  const std::vector<OutputSpec>& outputs);
  // See Stage.
  absl::StatusOr<HeadShare> SharedLogits(const HeadRequest& request);

 private:
  // A row whose logits are asked for: the span's sample, or one of its targets.
  struct HeadRow {
    size_t span;
    int64_t row;     // of those left of the step
    bool is_sample;  // or else a target
    size_t index;    // among the span's samples or targets
  };
  struct OpenHead;

  std::vector<HeadRow> PlaceOutputs(const StepRows& step, const std::vector<OutputSpec>& outputs,
                                    std::vector<SpanOutput>& results) const;
  void NormalizeRows(absl::Span<const HeadRow> rows, const float* hidden);
  absl::Status BeginLogits(int64_t first, int64_t count, OpenHead& head);
  absl::Status FinishLogits(OpenHead& head);
  int32_t CountCandidates(const OpenHead& head) const;
  void ScaleLogits(float* logits, int64_t count) const;
  HeadShare TakeCandidates(float* logits, int64_t stride, int64_t count, int32_t first_id,
                           int32_t end_id, int64_t candidates);
  void UseLogits(int64_t index, absl::Span<const float> shared, OpenHead& head) const;
  void UseCandidates(int64_t index, const HeadShare& shared, int64_t row, OpenHead& head) const;
  void UseRow(int64_t index, absl::Span<const float> logits, absl::Span<const int32_t> ids,
              OpenHead& head) const;
  void Multiply(const float* rows, int64_t count, float* out, int64_t stride);
  absl::Status MakeOutput(const HeadRow& row, absl::Span<const float> values,
                          absl::Span<const int32_t> ids, const Span& span, const OutputSpec& spec,
                          SpanOutput& output) const;

  const ModelSpec& spec_;
  const StageRole& role_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  const Norm& norm_;
  const PackedMatrix matrix_;
  MatMulInput input_;
  std::vector<float> rows_;           // [rows whose logits are asked for][width]
  std::vector<float> shared_logits_;  // of which a request wants candidates: [count][shared_logits]
  std::mutex buffers_mutex_;
  std::vector<std::vector<float>> buffers_;  // for logits, that no head has now
  HeadPartner* partner_ = nullptr;
};

}  // namespace baton

#endif  // BATON_ENGINE_PIPELINE_OUTPUT_HEAD_H_
