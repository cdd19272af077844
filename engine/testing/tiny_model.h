// A small random model of any architecture, put together key by key and tensor by tensor.
#ifndef BATON_ENGINE_TESTING_TINY_MODEL_H_
#define BATON_ENGINE_TESTING_TINY_MODEL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/gguf/gguf_writer.h"
#include "engine/quant/types.h"
#include "engine/testing/random_tensors.h"

namespace baton {

inline constexpr int kTinyVocabulary = 320;

enum class TinyNorm { kRms, kLayer, kBiasedLayer };

// What nearly every architecture has keys for.
struct TinyShape {
  int layer_count = 4;
  int width = 64;  // elements of a hidden row
  int head_count = 4;
  int kv_head_count = 2;
  int key_size = 0;    // elements of a head of Q and K; 0: width / head_count, without a key
  int value_size = 0;  // and of V; 0: key_size
  int feed_forward_size = 96;
  int context_length = 512;
  TinyNorm norm = TinyNorm::kRms;
  // Of the matrices of layers: an output's root mean square over its inputs'. Rounding grows with
  // it from layer to layer.
  float gain = 2.0f;
};

struct TinyExperts {
  int count = 8;
  int used_count = 3;
  int size = 48;                       // elements between the matrices of an expert
  bool has_size_key = true;            // false: the size is feed_forward_length
  int shared_size = 0;                 // and of the shared expert; 0: there is none
  bool biases = false;                 // of the router and of the experts
  bool fused = false;                  // gate and up behind each other in ffn_gate_up_exps
  TensorType type = TensorType::kF32;  // of the experts' matrices
};

struct TinyBiases {
  bool qkv = false;
  bool output = false;
};

struct TinyModelOptions {
  uint64_t seed = 1;
  // Of the matrices whose type the architecture's own model does not choose; rows that its blocks
  // do not divide take the fallback of engine/quant/file_type.h.
  TensorType type = TensorType::kF32;
  // Every tensor in F32, with the weights that it would have in its own type.
  bool dequantized = false;
};

// Sizes and gains are such that every part bears on the logits: scores of attention and of routers
// lie a few units apart, and what a layer adds outweighs the embedding. Not thread-safe.
class TinyModel {
 public:
  TinyModel(std::string architecture, const TinyModelOptions& options);
  TinyModel(const TinyModel&) = delete;
  TinyModel& operator=(const TinyModel&) = delete;

  // Keys, without the architecture's prefix.
  void SetCount(const std::string& key, int value);
  void SetFloat(const std::string& key, float value);
  void SetFlag(const std::string& key, bool value);
  void SetText(const std::string& key, const std::string& value);
  void SetFlags(const std::string& key, const std::vector<bool>& values);
  // Comes first: the rest follows from it.
  void SetShape(const TinyShape& shape);
  const TinyShape& shape() const { return shape_; }
  int key_size() const;
  int value_size() const;
  void SetYarn(float factor, int original_context);
  void SetExperts(const TinyExperts& experts);

  // Tensors. ".weight" and ".bias" are put behind names; the block's prefix before those that are
  // added within ForEachLayer.
  void ForEachLayer(const std::function<void(int layer)>& body);
  // token_embd and output_norm, and output if it is not tied to the embedding.
  void AddEnds(bool tied);
  // Weights around `around`; with a bias where the shape says so.
  void AddNorm(const std::string& name, float around = 1.0f);
  // Weights around the shape's gain and no bias: of one head, or of `heads` heads.
  void AddHeadNorm(const std::string& name, int size, int heads = 0);
  void AddLinear(const std::string& name, int inputs, int outputs, bool bias = false);
  // [count][outputs][inputs]
  void AddStack(const std::string& name, int inputs, int outputs, int count,
                TensorType type = TensorType::kF32);
  // Of `size` floats in [low, high), or `count` times as many; the name is the whole one.
  void AddUniform(const std::string& name, int size, float low, float high, int count = 0);
  // The factors of a longrope, ascending from 1 to `last`.
  void AddRopeFactors(const std::string& name, float last);

  // attn_q, attn_k, attn_v; attn_output.
  void AddAttention(TinyBiases biases = {});
  // The same with attn_qkv.
  void AddFusedAttention();
  // ffn_gate, ffn_up, ffn_down of the shape's size.
  void AddFeedForward();
  // Gate and up behind each other in ffn_up.
  void AddFusedFeedForward();
  // ffn_gate_inp, ffn_*_exps, and ffn_*_shexp where there is a shared one.
  void AddExperts();

  absl::Status Write(const std::string& path) const { return writer_.Write(path); }

 private:
  std::string Full(const std::string& name) const { return block_ + name; }

  const std::string architecture_;
  const TinyModelOptions options_;
  GgufWriter writer_;
  RandomTensors tensors_;
  TinyShape shape_;
  TinyExperts experts_;
  std::string block_;  // "blk.0." within ForEachLayer
};

}  // namespace baton

#endif  // BATON_ENGINE_TESTING_TINY_MODEL_H_
