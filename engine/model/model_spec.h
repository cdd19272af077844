// What a model is, as far as planning and running need to know: hyper-parameters and the tensors of
// each layer, read from the GGUF header by the file of its architecture in arch/.
#ifndef BATON_ENGINE_MODEL_MODEL_SPEC_H_
#define BATON_ENGINE_MODEL_MODEL_SPEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/gguf/gguf_file.h"

namespace baton {

enum class RopeKind { kNone, kAdjacent, kHalves };  // pairs (2i, 2i+1) or (i, i + d/2)
enum class RopeScaling { kNone, kLinear, kYarn };

struct RopeSpec {
  RopeKind kind = RopeKind::kAdjacent;
  RopeScaling scaling = RopeScaling::kNone;
  int dimension_count = 0;  // elements of a head that are rotated
  float frequency_base = 10000.0f;
  float factor = 1.0f;  // of linear and yarn: context is stretched by it
  uint32_t original_context = 0;
  float attention_factor = 1.0f;
  float yarn_beta_fast = 32.0f;
  float yarn_beta_slow = 1.0f;
};

// Hyper-parameters that all layers share or that differ by layer (then a vector of layer_count).
struct ModelSpec {
  std::string architecture;
  std::string name;             // general.name, may be empty
  uint32_t context_length = 0;  // the model's limit
  int layer_count = 0;
  int width = 0;  // elements of a hidden row
  int vocabulary_size = 0;
  std::vector<int> head_counts;     // of Q, by layer
  std::vector<int> kv_head_counts;  // by layer
  int key_size = 0;                 // elements of a head of Q and K
  int value_size = 0;
  std::vector<int> feed_forward_sizes;  // by layer
  int expert_count = 0;                 // 0: dense
  int expert_used_count = 0;
  float norm_epsilon = 1e-5f;
  RopeSpec rope;
  bool tied_output = false;  // the output matrix is the token embedding

  // Errors: FailedPrecondition for an architecture that is not supported (named, with the list of
  // those that are); InvalidArgument for a file whose tensors or keys contradict each other, naming
  // the tensor or key, what was found and what was expected.
  static absl::StatusOr<ModelSpec> Read(const GgufFile& file);
};

// File bytes of the tensors of each part, for the planner. A tied embedding counts at both ends.
struct ModelBytes {
  std::vector<uint64_t> layers;
  uint64_t embedding = 0;
  uint64_t head = 0;  // final norm and output matrix
};
absl::StatusOr<ModelBytes> CountModelBytes(const GgufFile& file, const ModelSpec& spec);

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_MODEL_SPEC_H_
