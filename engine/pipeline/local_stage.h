// The stage that computes: weights of its layers, a pool of KV blocks, a thread pool.
#ifndef BATON_ENGINE_PIPELINE_LOCAL_STAGE_H_
#define BATON_ENGINE_PIPELINE_LOCAL_STAGE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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
#include "engine/pipeline/output_head.h"
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
  void SetHeadPartner(HeadPartner* partner) override { output_head_->SetPartner(partner); }
  absl::StatusOr<HeadShare> SharedLogits(const HeadRequest& request) override {
    return output_head_->SharedLogits(request);
  }
  void SetBetweenProducts(std::function<void()> visit) override {
    runner_.SetBetweenProducts(std::move(visit));
  }
  StageStats Stats() const override;

 private:
  LocalStage(ModelSpec spec, const LocalStageOptions& options);
  absl::Status LoadRopes(WeightLoader& loader);
  absl::Status LoadWeights(const GgufFile& file);
  absl::Status CheckBatch(const Batch& batch) const;
  absl::Status CheckSpan(const Span& span) const;
  absl::Status CheckBlockTable(const Span& span) const;
  absl::Status CheckOutputs(const Batch& batch, const std::vector<OutputSpec>& outputs) const;
  StepRows PlaceRows(const Batch& batch);
  std::vector<float> EmbedTokens(const Batch& batch);
  void RunLayer(size_t index, std::vector<float>& hidden);
  absl::Status DropRows(const std::vector<OutputSpec>& outputs, StepRows& step,
                        std::vector<float>& hidden, std::vector<absl::Status>& statuses);
  void FailSpans(const StepRows& step, std::vector<float>& hidden,
                 std::vector<absl::Status>& statuses) const;
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
  std::optional<OutputHead> output_head_;  // once weights are there
  uint64_t weight_bytes_ = 0;
  uint64_t read_bytes_ = 0;
};

// Bytes that one KV block takes on a stage with these layers, by cache group of the model.
std::vector<uint64_t> KvBlockBytes(const ModelSpec& spec, const LayerRange& layers, KvType type);

}  // namespace baton

#endif  // BATON_ENGINE_PIPELINE_LOCAL_STAGE_H_
