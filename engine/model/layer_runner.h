// One layer's arithmetic over the rows of a step.
#ifndef BATON_ENGINE_MODEL_LAYER_RUNNER_H_
#define BATON_ENGINE_MODEL_LAYER_RUNNER_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/base/aligned_buffer.h"
#include "engine/base/thread_pool.h"
#include "engine/kernels/attention.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/matmul.h"
#include "engine/model/kv_pool.h"
#include "engine/model/model_spec.h"
#include "engine/model/rope.h"
#include "engine/model/router.h"
#include "engine/model/weights.h"

namespace baton {

// Consecutive rows of one sequence, and its KV blocks.
struct StepSpan {
  int64_t first_row = 0;
  int64_t row_count = 0;
  int64_t first_position = 0;
  // By cache group, then position / kKvBlockTokens; null for blocks that no row sees or writes.
  // Nothing of a group that the stage has no layers of.
  std::vector<std::vector<uint8_t*>> blocks;
};

// The rows of all sequences, spans in order.
struct StepRows {
  int64_t row_count = 0;
  std::vector<StepSpan> spans;
};

// x [n] by a norm of the model's kind, which ignores the bias where it has none; `bias` may be
// null. `out` may be x.
void Normalize(const Kernels& kernels, const ModelSpec& spec, const float* weight,
               const float* bias, const float* x, int64_t n, float* out);

// Owns the scratch of a step, which grows to the largest step and is used again. Not thread-safe.
class LayerRunner {
 public:
  // All must outlive the runner. `ropes` are those of the spec; they may be made after the runner,
  // before its first step.
  LayerRunner(const ModelSpec& spec, const std::vector<Rope>& ropes, const Kernels& kernels,
              ThreadPool& pool);

  // Called between products of matrices from then on, on the thread that runs the layers. It may
  // use kernels and pool.
  void SetBetweenProducts(std::function<void()> visit) { between_products_ = std::move(visit); }

  // Makes room and angles for a step; `step` must live until the last RunLayer of it.
  // ResourceExhausted when memory is not to be had.
  absl::Status BeginStep(const StepRows& step);

  // hidden [row_count][width], in place. K and V of the rows are stored, at `place` of the blocks,
  // before any row attends.
  void RunLayer(const LayerSpec& spec, const LayerWeights& weights, const KvPlace& place,
                float* hidden);

  // What RunLayer stores, and nothing else: for rows whose results nobody reads.
  void StoreKeysAndValues(const LayerSpec& spec, const LayerWeights& weights, const KvPlace& place,
                          const float* hidden);

 private:
  // The angles of a rope for the rows of a step.
  struct Angles {
    float* cosine;  // [rows][pairs]
    float* sine;    // [rows][pairs]
  };
  // Scratch, by name; [rows] first unless it says otherwise.
  struct Activations {
    float* normed;      // [width]
    float* query;       // [heads * key_size]
    float* key;         // [kv_heads * key_size]; or the latent row
    float* value;       // [kv_heads * value_size]
    float* attended;    // [heads * value_size]
    float* projected;   // [width]: what is added to hidden
    float* gate;        // [feed_forward_size], of each expert used
    float* up;          // the same
    float* router;      // [experts]
    float* chosen;      // [experts used][width]: rows grouped by expert, then their results
    float* shared;      // [width]: of the expert that all rows share
    float* query_down;  // [rank of Q]
    float* head_query;  // [heads * (plain + rotated)]: Q of latent attention as heads have it
    float* by_head;     // [heads][rows][rank or plain_size]
  };
  struct Projection {
    const Linear* linear;
    float* out;  // [rows][linear->weight.rows()]
  };

  struct ExpertProjection {
    Linear FeedForwardWeights::*linear;
    float* out;  // [rows grouped by expert][rows of the matrix]
  };

  void LayOutScratch(int64_t rows, uint8_t* base, int64_t* bytes);
  template <typename Body>
  void ForRows(int64_t rows, const Body& body);
  template <typename Body>
  void ForPositions(const Body& body);
  void NormalizeRow(const Norm& norm, const float* x, int64_t n, float* out) const;
  const float* NormalizeRows(const Norm& norm, const float* x);
  void AddToHidden(const Norm& post_norm, float* hidden);
  void Project(const float* x, int64_t rows, absl::Span<const Projection> projections);

  void NormalizeHeads(const HeadNormSpec& spec, const std::vector<float>& weight, int heads,
                      float* x) const;
  void Rotate(const LayerSpec& spec, int64_t row, float* head) const;
  void PrepareHeads(const LayerSpec& spec, const std::vector<float>& norm, int64_t row, int heads,
                    float* x) const;
  void Store(const StepSpan& span, const KvPlace& place, int64_t position, const float* key,
             const float* value) const;
  void StoreRow(const LayerSpec& spec, const LayerWeights& weights, const KvPlace& place,
                const StepSpan& span, int64_t row, int64_t position);
  void RotateAndStore(const LayerSpec& spec, const LayerWeights& weights, const KvPlace& place);
  void Attention(const LayerSpec& spec, const LayerWeights& weights, const KvPlace& place);

  void ProjectLatent(const LayerSpec& spec, const LayerWeights& weights, const KvPlace& place,
                     const float* normed);
  void ProjectHeads(const std::vector<PackedMatrix>& matrices, const float* heads,
                    int64_t head_stride, int64_t row_stride, float* out, int64_t out_row_stride);

  void Activate(float* gate, const float* up, int64_t size, bool gated) const;
  void FeedForward(const FeedForwardWeights& weights, const float* x, int64_t rows, float* out);
  void MixExperts(const LayerSpec& spec, const LayerWeights& weights, const float* x);
  void GroupByExpert(const float* x);
  void ProjectExperts(const std::vector<FeedForwardWeights>& experts, const float* x,
                      absl::Span<const ExpertProjection> projections);
  void AddShared(const LayerWeights& weights, const float* x);

  const ModelSpec& spec_;
  const std::vector<Rope>& ropes_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  std::function<void()> between_products_;
  const StepRows* step_ = nullptr;
  int64_t reserved_rows_ = 0;
  AlignedBuffer memory_;
  std::vector<Angles> angles_;  // by rope
  Activations activations_ = {};
  std::vector<ExpertChoice> choices_;  // [rows][experts used]
  std::vector<int64_t> slots_;         // of the choices, among the rows grouped by expert
  std::vector<int64_t> expert_ends_;   // by expert: where its rows end
  std::vector<AttentionRows> attention_rows_;
  std::vector<MatMulTarget> targets_;
  MatMulInput input_;
  AttentionScratch attention_scratch_;
};

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_LAYER_RUNNER_H_
