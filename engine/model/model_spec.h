// What a model is: hyper-parameters, and of which parts and tensors each layer is composed. Read
// from the GGUF header by the file of its architecture in arch/; planning, loading and running know
// an architecture only through what stands here.
#ifndef BATON_ENGINE_MODEL_MODEL_SPEC_H_
#define BATON_ENGINE_MODEL_MODEL_SPEC_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/gguf/gguf_file.h"
#include "engine/gguf/problem.h"

namespace baton {

// Bounds on what a file may claim, before anything is sized by it.
inline constexpr int kMaxLayers = 512;         // the deepest published model has 126
inline constexpr int kMaxDimension = 1 << 24;  // of a row: products of two fit in 64 bits
inline constexpr int kMaxHeads = 4096;         // per layer
inline constexpr int kMaxHeadSize = 4096;      // elements
inline constexpr int kMaxExperts = 1024;       // per layer
// Experts, or heads of latent attention, of all layers: each is described by about a kilobyte. The
// largest published model has 23,424 experts.
inline constexpr int64_t kMaxDescribedParts = 1 << 16;
inline constexpr uint32_t kMaxContextLength = 1 << 24;  // positions, which rope turns exactly

// Rows [first_row, first_row + rows) of a tensor: the whole of it, one of several projections that
// the file holds fused, or one expert. A vector is `rows` rows of one element.
struct TensorSlice {
  TensorInfo tensor;
  int64_t first_row = 0;
  int64_t rows = 0;     // outputs; 0: the model has no such part
  int64_t columns = 0;  // inputs

  bool empty() const { return rows == 0; }
  uint64_t row_bytes() const { return RowBytes(tensor.type, columns); }
  uint64_t offset() const { return tensor.offset + first_row * row_bytes(); }  // in the file
  uint64_t bytes() const { return empty() ? 0 : rows * row_bytes(); }
};

// y = W x + b; the bias may be empty.
struct LinearSpec {
  TensorSlice weight;
  TensorSlice bias;
  bool empty() const { return weight.empty(); }
};

// Of the kind that the model has (ModelSpec::norm_kind); the bias may be empty. An empty weight: no
// norm.
struct NormSpec {
  TensorSlice weight;
  TensorSlice bias;
  bool empty() const { return weight.empty(); }
};

enum class NormKind {
  kRms,    // x / sqrt(mean(x^2) + epsilon) * weight
  kLayer,  // (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * weight + bias
};

enum class Activation {
  kSilu,           // silu(gate) * up
  kGelu,           // gelu(gate) * up, in the tanh form; gelu(up) where there is no gate
  kClampedSwiglu,  // g sigmoid(1.702 g) (u + 1), with gate and up clamped at 7 (gpt-oss)
};

// down(activation(gate(x), up(x))); the gate may be empty.
struct FeedForwardSpec {
  LinearSpec gate;
  LinearSpec up;
  LinearSpec down;
};

// Which experts a row goes to, and with which weights.
enum class RouterGate {
  kSoftmax,        // probabilities over all experts
  kSigmoid,        // of each expert alone
  kChosenSoftmax,  // scores choose; probabilities over those chosen
};
struct RouterSpec {
  TensorSlice weight;  // [experts][width]; empty: a dense layer
  TensorSlice bias;    // [experts], of the scores; may be empty
  TensorSlice
      choice_bias;  // [experts], added to the gate's values for the choice alone; may be empty
  RouterGate gate = RouterGate::kSoftmax;
  bool normalized = true;  // weights of those chosen are divided by their sum
  float scale = 1.0f;      // multiplies the weights
  // Experts stand in `group_count` groups of equal size; only those of the `group_used_count`
  // groups whose best `group_score_count` sum highest are chosen from. 1 group: from all.
  int group_count = 1;
  int group_used_count = 1;
  int group_score_count = 1;  // 1 or 2
  bool empty() const { return weight.empty(); }
};

// Where the heads of Q and K are normalised.
enum class HeadNormPlace { kNone, kBeforeRope, kAfterRope };
struct HeadNormSpec {
  HeadNormPlace place = HeadNormPlace::kNone;
  bool whole_row = false;  // over all heads at once, not over each
  // A weight per element of a head, the same for all heads; or of all heads.
  TensorSlice query;
  TensorSlice key;
};

// Multi-head latent attention (arXiv 2405.04434): K and V of all heads come from one latent row,
// which alone is stored, with the rotated part of K that the heads share behind it:
//   c = norm(down(n))[0:rank],  k = [c | rope(down(n)[rank:])],  v = c
//   q(h) = [key_up(h) q_plain(h) | rope(q_rotated(h))],  out(h) = value_up(h) attended(h)
// ModelSpec's key_size is rank + rotated, its value_size rank; there is one KV head.
struct LatentAttentionSpec {
  int rank = 0;  // elements of the latent; 0: ordinary attention
  int plain_size =
      0;  // elements of a head of Q that are not rotated; rope's dimension_count follow
  int value_size = 0;     // elements of a head's result
  LinearSpec query_down;  // with its norm in front of LayerSpec::query; may be empty
  NormSpec query_norm;
  LinearSpec down;                    // [rank + rotated][width]
  NormSpec norm;                      // [rank]
  std::vector<TensorSlice> key_up;    // of each head, [rank][plain_size]
  bool key_up_transposed = false;     // the file has [plain_size][rank]
  std::vector<TensorSlice> value_up;  // of each head, [value_size][rank]
  bool empty() const { return rank == 0; }
};

// One layer, of the parts that it has:
//   h += s post_norm(attention_output(attend(rope(query(n)), rope(key(n)), value(n)))),  n =
//   norm(h) h += s post_norm(feed_forward(n)),                                                   n
//   = norm(h)
// A part that another architecture needs becomes a field here, whose default leaves the layers that
// lack it as they are.
struct LayerSpec {
  int head_count = 0;     // of Q
  int kv_head_count = 0;  // divides head_count
  int window = 0;         // sliding window in positions, itself included; 0: full attention
  int rope = 0;           // of ModelSpec::ropes; kNoRope: not rotated
  NormSpec attention_norm;
  LinearSpec query;
  LinearSpec key;
  LinearSpec value;
  LatentAttentionSpec latent;  // instead of key and value, where it is there
  HeadNormSpec head_norm;
  TensorSlice sinks;  // [head_count]: scores without a value, beside those of the positions
  LinearSpec attention_output;
  NormSpec attention_post_norm;

  // The feed-forward part reads what attention read, so that both are added to the same h.
  bool parallel = false;
  int feed_forward_size = 0;  // of one expert where there are several
  NormSpec feed_forward_norm;
  RouterSpec router;
  std::vector<FeedForwardSpec> experts;  // a dense layer has one
  // For every row, beside the experts; may be empty.
  FeedForwardSpec shared_expert;
  TensorSlice shared_expert_gate;  // [width]: its result times the sigmoid of this product
  NormSpec feed_forward_post_norm;
};
inline constexpr int kNoRope = -1;

enum class RopeKind { kAdjacent, kHalves };  // pairs (2i, 2i+1) or (i, i + d/2)
enum class RopeScaling { kNone, kLinear, kYarn };

struct RopeSpec {
  RopeKind kind = RopeKind::kAdjacent;
  RopeScaling scaling = RopeScaling::kNone;
  int dimension_count = 0;  // leading elements of a head that are rotated; even
  float frequency_base = 10000.0f;
  float factor = 1.0f;            // of linear and yarn: the context is stretched by it
  uint32_t original_context = 0;  // positions, before the context was stretched
  float attention_factor = 1.0f;  // multiplies cosines and sines
  float yarn_beta_fast = 32.0f;
  float yarn_beta_slow = 1.0f;
  bool yarn_magnitude = true;  // yarn multiplies cosines and sines by 1 + 0.1 ln(factor) too
  TensorSlice divisors;        // of the frequencies, one per pair; may be empty
  TensorSlice long_divisors;   // of a longrope, for contexts beyond original_context

  // Those for contexts of so many positions.
  const TensorSlice& DivisorsFor(int64_t context_length) const {
    return long_divisors.empty() || context_length <= original_context ? divisors : long_divisors;
  }
};

struct ModelSpec {
  std::string architecture;
  std::string name;             // general.name, may be empty
  uint32_t context_length = 0;  // the model's limit, at most kMaxContextLength
  int layer_count = 0;
  int width = 0;  // elements of a hidden row
  int vocabulary_size = 0;
  int key_size = 0;      // elements of a head of Q and K
  int value_size = 0;    // elements of a head of V
  int expert_count = 0;  // 0: every layer is dense
  int expert_used_count = 0;
  NormKind norm_kind = NormKind::kRms;
  float norm_epsilon = 0;
  Activation activation = Activation::kSilu;
  float embedding_scale = 1.0f;   // multiplies the rows of the embedding
  float residual_scale = 1.0f;    // multiplies what a layer's parts add to h
  float attention_scale = 0;      // multiplies the scores
  float attention_soft_cap = 0;   // scores become cap tanh(score / cap); 0: they stay
  float logit_scale = 1.0f;       // multiplies the logits
  float logit_soft_cap = 0;       // as attention_soft_cap
  std::vector<RopeSpec> ropes;    // those that layers choose from
  std::vector<LayerSpec> layers;  // layer_count

  TensorSlice embedding;  // [vocabulary_size][width]
  NormSpec output_norm;
  TensorSlice output;        // [vocabulary_size][width]
  bool tied_output = false;  // `output` is `embedding`

  // Errors, which begin with the file's name: FailedPrecondition for an architecture or a variant
  // that is not supported (named, with the list of those that are); InvalidArgument for a file
  // whose tensors or keys contradict each other, naming the tensor or key, what was found and what
  // was expected.
  static absl::StatusOr<ModelSpec> Read(const GgufFile& file);
  // The same, but adds all problems that can be told, without the file's name. Nothing where one of
  // them is more than a note.
  static std::optional<ModelSpec> Diagnose(const GgufFile& file, ProblemList* problems);
};

// Calls `visit` for every slice of a layer that is there, in the order in which they are used.
void VisitSlices(const LayerSpec& layer, const std::function<void(const TensorSlice&)>& visit);

// File bytes of the tensors of each part, for the planner.
struct ModelBytes {
  std::vector<uint64_t> layers;
  uint64_t embedding = 0;
  uint64_t head = 0;         // final norm and output matrix
  uint64_t tied = 0;         // in both embedding and head; one stage with both has it once
  int32_t output_rows = 0;   // of the output matrix: the vocabulary
  uint64_t output_row = 0;   // each
  uint64_t every_stage = 0;  // what each stage reads: divisors of rope
};
ModelBytes CountModelBytes(const ModelSpec& spec);

// File bytes of a stage with layers [begin, end) and these ends.
uint64_t CountStageBytes(const ModelBytes& bytes, int begin, int end, bool embedding, bool head);

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_MODEL_SPEC_H_
