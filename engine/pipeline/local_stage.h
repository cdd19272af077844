// The stage that computes: weights of its layers, a pool of KV blocks, a thread pool.
#ifndef BATON_ENGINE_PIPELINE_LOCAL_STAGE_H_
#define BATON_ENGINE_PIPELINE_LOCAL_STAGE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/arena.h"
#include "engine/base/thread_pool.h"
#include "engine/gguf/gguf_file.h"
#include "engine/kernels/attention.h"
#include "engine/kernels/isa.h"
#include "engine/kernels/matmul.h"
#include "engine/model/cache_groups.h"
#include "engine/model/kv_pool.h"
#include "engine/model/layer_runner.h"
#include "engine/model/model_spec.h"
#include "engine/model/rope.h"
#include "engine/model/weights.h"
#include "engine/pipeline/stage.h"

namespace baton {

// Options that change the bits of a result are the same on all stages of a plan.
struct NumericOptions {
  ActivationMode activations = ActivationMode::kInt8;
  KvType kv_type = KvType::kF16;
  // Positions of a sequence that were asked for, 0: as many as the model's. Chooses the divisors of
  // a longrope. Not the context that there happens to be memory for, which differs by machine.
  int32_t asked_context = 0;
};

struct LocalStageOptions {
  StageRole role;
  NumericOptions numeric;
  Isa isa = Isa::kScalar;
  int thread_count = 1;
  // Blocks of kKvBlockTokens positions, by cache group of the model; ids are [0, count).
  std::vector<int32_t> kv_block_counts;
  // Fill KV blocks with NaN at start: a test sees reads of what was never written.
  bool poison_kv = false;
  // Called while weights are read, with file bytes done and to do, on the thread that called
  // Load, which ends as Cancelled when it returns false; may be null.
  std::function<bool(uint64_t bytes_done, uint64_t bytes_total)> progress;
};

class LocalStage : public Stage {
 public:
  // Reads the stage's own tensors, and no others, from the file, which may be closed afterwards.
  // Refuses scales and float weights that are not finite, naming tensor, block and byte.
  // ResourceExhausted when memory is not to be had, with the bytes asked for.
  static absl::StatusOr<std::unique_ptr<LocalStage>> Load(const GgufFile& file,
                                                          const LocalStageOptions& options);

  const StageRole& role() const override { return options_.role; }
  const ModelSpec& spec() const { return spec_; }
  absl::StatusOr<StageOutput> Forward(const Batch& batch,
                                      const std::vector<OutputSpec>& outputs) override;
  void SetHeadPartner(HeadPartner* partner) override { partner_ = partner; }
  absl::StatusOr<HeadShare> SharedLogits(const HeadRequest& request) override;
  void SetBetweenProducts(std::function<void()> visit) override {
    runner_.SetBetweenProducts(std::move(visit));
  }
  StageStats Stats() const override;

 private:
  // A row whose logits are asked for: the span's sample, or one of its targets.
  struct HeadRow {
    size_t span;
    int64_t row;     // of those left of the step
    bool is_sample;  // or else a target
    size_t index;    // among the span's samples or targets
  };
  struct OpenHead;

  LocalStage(ModelSpec spec, const LocalStageOptions& options);
  absl::Status LoadRopes(WeightLoader& loader);
  absl::Status LoadWeights(const GgufFile& file);
  absl::Status CheckBatch(const Batch& batch) const;
  absl::Status CheckSpan(const Span& span) const;
  absl::Status CheckBlockTable(const Span& span) const;
  absl::Status CheckOutputs(const Batch& batch, const std::vector<OutputSpec>& outputs) const;
  StepRows PlaceRows(const Batch& batch);
  std::vector<float> EmbedTokens(const Batch& batch);
  absl::Status NotFinite(const char* what, int64_t position) const;
  void RunLayer(size_t index, std::vector<float>& hidden);
  absl::Status DropRows(const std::vector<OutputSpec>& outputs, StepRows& step,
                        std::vector<float>& hidden, std::vector<absl::Status>& statuses);
  void FailSpans(const StepRows& step, std::vector<float>& hidden,
                 std::vector<absl::Status>& statuses) const;
  absl::StatusOr<StageOutput> RunHead(const Batch& batch, const StepRows& step,
                                      std::vector<absl::Status> statuses, const float* hidden,
                                      const std::vector<OutputSpec>& outputs);
  std::vector<HeadRow> PlaceOutputs(const StepRows& step, const std::vector<OutputSpec>& outputs,
                                    std::vector<SpanOutput>& results) const;
  void NormalizeHeadRows(absl::Span<const HeadRow> rows, const float* hidden);
  absl::Status BeginLogits(int64_t first, int64_t count, OpenHead& head);
  absl::Status FinishLogits(OpenHead& head);
  int32_t CountCandidates(const OpenHead& head) const;
  void ScaleLogits(float* logits, int64_t count) const;
  HeadShare TakeCandidates(float* logits, int64_t stride, int64_t count, int32_t first_id,
                           int32_t end_id, int64_t candidates);
  void UseLogits(int64_t index, absl::Span<const float> shared, OpenHead& head) const;
  void UseCandidates(int64_t index, std::vector<Candidate> candidates, OpenHead& head) const;
  void UseRow(int64_t index, absl::Span<const float> logits, absl::Span<const int32_t> ids,
              OpenHead& head) const;
  void MultiplyOutput(const PackedMatrix& matrix, const float* rows, int64_t count, float* out,
                      int64_t stride);
  absl::Status MakeOutput(const HeadRow& row, absl::Span<const float> values,
                          absl::Span<const int32_t> ids, const Span& span, const OutputSpec& spec,
                          SpanOutput& output) const;
  // The rows of the output matrix that this stage has.
  PackedMatrix output_matrix() const;

  const ModelSpec spec_;
  const std::vector<CacheGroup> groups_;
  const LocalStageOptions options_;
  const Kernels& kernels_;
  ThreadPool pool_;
  std::vector<Rope> ropes_;
  Arena arena_;             // holds all matrices
  PackedMatrix embedding_;  // the output matrix too, where a stage has both ends of a tied model
  std::vector<LayerWeights> layers_;
  Norm output_norm_;
  PackedMatrix output_;
  std::optional<KvPool> kv_pool_;
  LayerRunner runner_;
  MatMulInput head_input_;
  std::vector<float> head_rows_;      // [rows whose logits are asked for][width]
  std::vector<float> shared_logits_;  // of which a request wants candidates: [count][shared_logits]
  std::mutex buffers_mutex_;
  std::vector<std::vector<float>> buffers_;  // for logits, that no head has now
  HeadPartner* partner_ = nullptr;
  uint64_t weight_bytes_ = 0;
  uint64_t read_bytes_ = 0;
};

// Bytes that one KV block takes on a stage with these layers, by cache group of the model.
std::vector<uint64_t> KvBlockBytes(const ModelSpec& spec, const LayerRange& layers, KvType type);

}  // namespace baton

#endif  // BATON_ENGINE_PIPELINE_LOCAL_STAGE_H_
