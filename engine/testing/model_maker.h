// Random models of the llama architecture, made in code: same options, same bytes, on every
// machine. They say nothing sensible, but every weight matters and nothing in them explodes.
#ifndef BATON_ENGINE_TESTING_MODEL_MAKER_H_
#define BATON_ENGINE_TESTING_MODEL_MAKER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/quant/file_type.h"
#include "engine/quant/types.h"

namespace baton {

enum class RopeVariant {
  kPlain,
  kLinear,   // llama.rope.scaling.type linear
  kYarn,     // yarn, with original_context_length
  kFactors,  // a rope_freqs tensor, as Llama 3 has
};

struct ModelOptions {
  int layer_count = 2;
  int width = 64;  // elements of a hidden row
  int head_count = 4;
  int kv_head_count = 2;
  int head_size = 0;  // 0: width / head_count, and no key in the file says so
  int feed_forward_size = 128;
  int vocabulary_size = 320;  // at least kMinVocabulary of small_vocabulary.h
  uint32_t context_length = 2048;
  float rope_base = 10000.0f;
  RopeVariant rope = RopeVariant::kPlain;
  float rope_factor = 4.0f;  // of kLinear and kYarn; the largest divisor of kFactors
  bool tied_output = false;
  bool attention_biases = false;
  int expert_count = 0;  // 0: dense
  int expert_used_count = 2;
  // Of all matrices but the router's, which is F32. Rows that its blocks do not divide take the
  // fallback of engine/quant/file_type.h.
  TensorType type = TensorType::kF32;
  const FileType* mix = nullptr;             // chooses the types instead, where it is set
  std::optional<TensorType> embedding_type;  // of token_embd, where it differs
  std::string chat_template;                 // none if empty
  bool fill_tensors = true;  // false: tensors are holes, so a large shape costs no disk
  uint32_t gguf_version = 3;
  uint64_t seed = 1;
};

// TinyLlama 1.1B: 22 layers, 201 tensors.
ModelOptions TinyLlamaShape(TensorType type);

// Options that contradict each other are InvalidArgument. The threads change no byte.
absl::Status WriteModel(const ModelOptions& options, const std::string& path, int thread_count = 1);
// Into a file of `directory` whose name follows from the options. Gives its path.
absl::StatusOr<std::string> MakeModel(const ModelOptions& options, const std::string& directory);

}  // namespace baton

#endif  // BATON_ENGINE_TESTING_MODEL_MAKER_H_
