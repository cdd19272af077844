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
inline constexpr int kMaxLayers = 512;                  // the deepest published model has 126
inline constexpr int kMaxDimension = 1 << 24;           // of a row: products of two fit in 64 bits
inline constexpr int kMaxHeads = 4096;                  // per layer
inline constexpr int kMaxHeadSize = 4096;               // elements
inline constexpr int kMaxExperts = 1024;                // per layer
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
};

// down(silu(gate(x)) * up(x))
struct FeedForwardSpec {
  LinearSpec gate;
  LinearSpec up;
  LinearSpec down;
};

// One layer:
//   h += attention_output(attend(rope(query(n)), rope(key(n)), value(n))),  n = rms_norm(h)
//   h += feed_forward(n),                                                   n = rms_norm(h)
// A part that another architecture needs (a norm of each head, a window, another gate or residual
// form, a shared expert) becomes a field here, whose default leaves the layers that lack it as they
// are.
struct LayerSpec {
  int head_count = 0;     // of Q
  int kv_head_count = 0;  // divides head_count
  int window = 0;         // sliding window in positions, itself included; 0: full attention
  TensorSlice attention_norm;
  LinearSpec query;
  LinearSpec key;
  LinearSpec value;
  LinearSpec attention_output;

  int feed_forward_size = 0;  // of one expert where there are several
  TensorSlice feed_forward_norm;
  TensorSlice router;                    // [experts][width]; empty: a dense layer
  std::vector<FeedForwardSpec> experts;  // a dense layer has one
};

enum class RopeKind { kNone, kAdjacent, kHalves };  // pairs (2i, 2i+1) or (i, i + d/2)
enum class RopeScaling { kNone, kLinear, kYarn };

struct RopeSpec {
  RopeKind kind = RopeKind::kAdjacent;
  RopeScaling scaling = RopeScaling::kNone;
  int dimension_count = 0;  // leading elements of a head that are rotated; even
  float frequency_base = 10000.0f;
  float factor = 1.0f;            // of linear and yarn: the context is stretched by it
  uint32_t original_context = 0;  // positions, before yarn stretched them
  float attention_factor = 1.0f;  // multiplies cosines and sines
  float yarn_beta_fast = 32.0f;
  float yarn_beta_slow = 1.0f;
  TensorSlice divisors;  // of the frequencies, one per pair; may be empty
};

struct ModelSpec {
  std::string architecture;
  std::string name;             // general.name, may be empty
  uint32_t context_length = 0;  // the model's limit, at most kMaxContextLength
  int layer_count = 0;
  int width = 0;  // elements of a hidden row
  int vocabulary_size = 0;
  int key_size = 0;  // elements of a head of Q and K
  int value_size = 0;
  int expert_count = 0;  // 0: every layer is dense
  int expert_used_count = 0;
  float norm_epsilon = 0;
  RopeSpec rope;
  std::vector<LayerSpec> layers;  // layer_count

  TensorSlice embedding;  // [vocabulary_size][width]
  TensorSlice output_norm;
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
  uint64_t every_stage = 0;  // what each stage reads: divisors of rope
};
ModelBytes CountModelBytes(const ModelSpec& spec);

// File bytes of a stage with layers [begin, end) and these ends.
uint64_t CountStageBytes(const ModelBytes& bytes, int begin, int end, bool embedding, bool head);

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_MODEL_SPEC_H_
