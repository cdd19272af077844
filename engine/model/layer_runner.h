// One layer's arithmetic over the rows of a step.
#ifndef BATON_ENGINE_MODEL_LAYER_RUNNER_H_
#define BATON_ENGINE_MODEL_LAYER_RUNNER_H_

#include <cstdint>
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

// Owns the scratch of a step, which grows to the largest step and is used again. Not thread-safe.
class LayerRunner {
 public:
  // All must outlive the runner.
  LayerRunner(const ModelSpec& spec, const Rope& rope, const Kernels& kernels, ThreadPool& pool);

  // Makes room and angles for a step; `step` must live until the last RunLayer of it.
  // ResourceExhausted when memory is not to be had.
  absl::Status BeginStep(const StepRows& step);

  // hidden [row_count][width], in place. K and V of the rows are stored, at `place` of the blocks,
  // before any row attends.
  void RunLayer(const LayerSpec& spec, const LayerWeights& weights, const KvPlace& place,
                float* hidden);

 private:
  struct Projection {
    const Linear* linear;
    float* out;  // [rows][linear->weight.rows()]
  };
  // Scratch, by name; [rows] first.
  struct Activations {
    float* cosine;     // [pairs]
    float* sine;       // [pairs]
    float* normed;     // [width]
    float* query;      // [heads * key_size]
    float* key;        // [kv_heads * key_size]
    float* value;      // [kv_heads * value_size]
    float* attended;   // [heads * value_size]
    float* projected;  // [width]: what is added to hidden
    float* gate;       // [feed_forward_size]
    float* up;         // [feed_forward_size]
    float* router;     // [experts]
    float* chosen;     // [experts used][width]: rows grouped by expert
    float* expert;     // [experts used][width]: their results
  };
  // An expert that a row goes to.
  struct Choice {
    int expert;
    float weight;
    int64_t slot;  // index of the row among those grouped by expert
  };

  void LayOutScratch(int64_t rows, uint8_t* base, int64_t* bytes);
  template <typename Body>
  void ForRows(int64_t rows, const Body& body);
  void Normalize(const std::vector<float>& weight, const float* hidden);
  void Project(const float* x, int64_t rows, absl::Span<const Projection> projections);
  void RotateAndStore(const LayerSpec& spec, const KvPlace& place);
  void Attention(const LayerSpec& spec, const KvPlace& place);
  void FeedForward(const FeedForwardWeights& weights, const float* x, int64_t rows, float* out);
  void ChooseExperts(const float* scores, Choice* choices) const;
  void MixExperts(const LayerWeights& weights);
  void AddRows(const float* x, float* hidden);

  const ModelSpec& spec_;
  const Rope& rope_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  const StepRows* step_ = nullptr;
  int64_t reserved_rows_ = 0;
  AlignedBuffer memory_;
  Activations activations_ = {};
  std::vector<Choice> choices_;       // [rows][experts used]
  std::vector<int64_t> expert_rows_;  // by expert
  std::vector<AttentionRows> attention_rows_;
  MatMulInput input_;
  AttentionScratch attention_scratch_;
};

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_LAYER_RUNNER_H_
