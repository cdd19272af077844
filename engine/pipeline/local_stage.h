// The stage that computes: weights of its layers, a pool of KV blocks, a thread pool.
#ifndef BATON_ENGINE_PIPELINE_LOCAL_STAGE_H_
#define BATON_ENGINE_PIPELINE_LOCAL_STAGE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/gguf/gguf_file.h"
#include "engine/kernels/attention.h"
#include "engine/kernels/isa.h"
#include "engine/kernels/matmul.h"
#include "engine/model/model_spec.h"
#include "engine/pipeline/stage.h"

namespace baton {

// Options that change the bits of a result are the same on all stages of a plan.
struct NumericOptions {
  ActivationMode activations = ActivationMode::kInt8;
  KvType kv_type = KvType::kF16;
};

struct LocalStageOptions {
  StageRole role;
  NumericOptions numeric;
  Isa isa = Isa::kScalar;
  int thread_count = 1;
  int32_t kv_block_count = 0;  // blocks of kKvBlockTokens positions; ids are [0, kv_block_count)
  // Fill KV blocks with NaN at start: a test sees reads of what was never written.
  bool poison_kv = false;
  // Called while weights are read, with file bytes done and to do; may be null.
  std::function<void(uint64_t bytes_done, uint64_t bytes_total)> progress;
};

class LocalStage : public Stage {
 public:
  // Reads the stage's own tensors, and no others, from the file. Refuses scales and float weights
  // that are not finite, naming tensor, block and byte. ResourceExhausted when memory is not to be
  // had, with the bytes asked for.
  static absl::StatusOr<std::unique_ptr<LocalStage>> Load(const GgufFile& file,
                                                          const LocalStageOptions& options);
};

// Stages of one process in a row: the whole product without a network.
class LocalPipeline : public Pipeline {
 public:
  explicit LocalPipeline(std::vector<std::unique_ptr<Stage>> stages);
  int stage_count() const override;
  absl::Status Submit(Batch batch, std::vector<OutputSpec> outputs) override;
  absl::StatusOr<StepResult> Next() override;
  absl::StatusOr<std::vector<StageStats>> Stats() override;

 private:
  std::vector<std::unique_ptr<Stage>> stages_;
  std::vector<absl::StatusOr<StepResult>> results_;
  uint64_t next_step_ = 0;
};

// Bytes that one KV block takes on a stage with these layers.
uint64_t KvBlockBytes(const ModelSpec& spec, const LayerRange& layers, KvType type);

}  // namespace baton

#endif  // BATON_ENGINE_PIPELINE_LOCAL_STAGE_H_
