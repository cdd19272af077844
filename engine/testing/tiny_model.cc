#include "engine/testing/tiny_model.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/gguf/gguf_file.h"
#include "engine/quant/file_type.h"
#include "engine/testing/small_vocabulary.h"

namespace baton {
namespace {

// Weights of the last norm are around it: so far apart are logits.
constexpr float kLogitSpread = 4.0f;
// Weights and biases differ by so much from what they are around.
constexpr float kNormSpread = 0.4f;
constexpr float kBiasSpread = 0.3f;

// Larger than any published, so that the wrong one shows.
constexpr float kEpsilon = 1e-3f;

uint64_t Unsigned(int value) { return static_cast<uint64_t>(value); }

}  // namespace

TinyModel::TinyModel(std::string architecture, const TinyModelOptions& options)
    : architecture_(std::move(architecture)),
      options_(options),
      tensors_(options.seed, /*fill=*/true, &writer_) {
  writer_.SetString("general.architecture", architecture_);
  // No family in the name: programs draw conclusions from one.
  writer_.SetString("general.name", "tiny and random");
  writer_.SetU32("general.quantization_version", 2);
  writer_.SetU32("general.file_type", PureFileType(options.type).id);
  SetSmallVocabulary(kTinyVocabulary, &writer_);
}

void TinyModel::SetCount(const std::string& key, int value) {
  writer_.SetU32(absl::StrCat(architecture_, ".", key), static_cast<uint32_t>(value));
}

void TinyModel::SetFloat(const std::string& key, float value) {
  writer_.SetF32(absl::StrCat(architecture_, ".", key), value);
}

void TinyModel::SetFlag(const std::string& key, bool value) {
  writer_.SetBool(absl::StrCat(architecture_, ".", key), value);
}

void TinyModel::SetText(const std::string& key, const std::string& value) {
  writer_.SetString(absl::StrCat(architecture_, ".", key), value);
}

void TinyModel::SetFlags(const std::string& key, const std::vector<bool>& values) {
  writer_.Set(absl::StrCat(architecture_, ".", key),
              {GgufType::kBool, true, std::vector<uint64_t>(values.begin(), values.end())});
}

int TinyModel::key_size() const {
  return shape_.key_size > 0 ? shape_.key_size : shape_.width / shape_.head_count;
}

int TinyModel::value_size() const { return shape_.value_size > 0 ? shape_.value_size : key_size(); }

void TinyModel::SetShape(const TinyShape& shape) {
  shape_ = shape;
  SetCount("context_length", shape.context_length);
  SetCount("embedding_length", shape.width);
  SetCount("block_count", shape.layer_count);
  SetCount("feed_forward_length", shape.feed_forward_size);
  SetCount("vocab_size", kTinyVocabulary);
  SetCount("attention.head_count", shape.head_count);
  SetCount("attention.head_count_kv", shape.kv_head_count);
  if (shape.key_size > 0) {
    SetCount("attention.key_length", key_size());
    SetCount("attention.value_length", value_size());
  }
  SetFloat(shape.norm == TinyNorm::kRms ? "attention.layer_norm_rms_epsilon"
                                        : "attention.layer_norm_epsilon",
           kEpsilon);
}

void TinyModel::SetYarn(float factor, int original_context) {
  SetText("rope.scaling.type", "yarn");
  SetFloat("rope.scaling.factor", factor);
  SetCount("rope.scaling.original_context_length", original_context);
}

void TinyModel::SetExperts(const TinyExperts& experts) {
  experts_ = experts;
  SetCount("expert_count", experts.count);
  SetCount("expert_used_count", experts.used_count);
  if (experts.has_size_key) SetCount("expert_feed_forward_length", experts.size);
}

void TinyModel::AddEnds(bool tied) {
  const auto add = [this](const char* name) {
    tensors_.AddMatrix(name, TensorType::kF32, {Unsigned(shape_.width), kTinyVocabulary},
                       1.0f / std::sqrt(static_cast<float>(shape_.width)));
  };
  add("token_embd.weight");
  AddNorm("output_norm", kLogitSpread);
  if (!tied) add("output.weight");
}

void TinyModel::ForEachLayer(const std::function<void(int layer)>& body) {
  for (int layer = 0; layer < shape_.layer_count; ++layer) {
    block_ = absl::StrCat("blk.", layer, ".");
    body(layer);
  }
  block_.clear();
}

void TinyModel::AddNorm(const std::string& name, float around) {
  const uint64_t size = Unsigned(shape_.width);
  tensors_.AddUniform(Full(name) + ".weight", {size}, (1.0f - kNormSpread) * around,
                      (1.0f + kNormSpread) * around);
  if (shape_.norm != TinyNorm::kBiasedLayer) return;
  tensors_.AddUniform(Full(name) + ".bias", {size}, -kBiasSpread, kBiasSpread);
}

void TinyModel::AddHeadNorm(const std::string& name, int size, int heads) {
  AddUniform(name + ".weight", size, (1.0f - kNormSpread) * shape_.gain,
             (1.0f + kNormSpread) * shape_.gain, heads);
}

void TinyModel::AddLinear(const std::string& name, int inputs, int outputs, bool bias) {
  AddStack(name, inputs, outputs, 1, TensorType::kF32);
  if (bias) AddUniform(name + ".bias", outputs, -kBiasSpread, kBiasSpread);
}

void TinyModel::AddStack(const std::string& name, int inputs, int outputs, int count,
                         TensorType type) {
  const std::string full = Full(name) + ".weight";
  std::vector<uint64_t> dims = {Unsigned(inputs), Unsigned(outputs)};
  if (count > 1) dims.push_back(Unsigned(count));
  const float rms = shape_.gain / std::sqrt(static_cast<float>(inputs));
  if (type == TensorType::kF32 && IsQuantizable(full, 2)) {
    type = ChooseTensorType(PureFileType(options_.type), full, dims[0], {});
  }
  if (options_.dequantized) {
    tensors_.AddDequantized(full, type, std::move(dims), rms);
  } else {
    tensors_.AddMatrix(full, type, std::move(dims), rms);
  }
}

void TinyModel::AddUniform(const std::string& name, int size, float low, float high, int count) {
  std::vector<uint64_t> dims = {Unsigned(size)};
  if (count > 0) dims.push_back(Unsigned(count));
  tensors_.AddUniform(Full(name), std::move(dims), low, high);
}

void TinyModel::AddRopeFactors(const std::string& name, float last) {
  tensors_.AddRamp(name + ".weight", Unsigned(key_size() / 2), last);
}

void TinyModel::AddAttention(TinyBiases biases) {
  const int kv_heads = shape_.kv_head_count;
  AddLinear("attn_q", shape_.width, shape_.head_count * key_size(), biases.qkv);
  AddLinear("attn_k", shape_.width, kv_heads * key_size(), biases.qkv);
  AddLinear("attn_v", shape_.width, kv_heads * value_size(), biases.qkv);
  AddLinear("attn_output", shape_.head_count * value_size(), shape_.width, biases.output);
}

void TinyModel::AddFusedAttention() {
  AddLinear("attn_qkv", shape_.width,
            shape_.head_count * key_size() + shape_.kv_head_count * (key_size() + value_size()));
  AddLinear("attn_output", shape_.head_count * value_size(), shape_.width);
}

void TinyModel::AddFeedForward() {
  AddLinear("ffn_gate", shape_.width, shape_.feed_forward_size);
  AddLinear("ffn_up", shape_.width, shape_.feed_forward_size);
  AddLinear("ffn_down", shape_.feed_forward_size, shape_.width);
}

void TinyModel::AddFusedFeedForward() {
  AddLinear("ffn_up", shape_.width, 2 * shape_.feed_forward_size);
  AddLinear("ffn_down", shape_.feed_forward_size, shape_.width);
}

void TinyModel::AddExperts() {
  const int width = shape_.width;
  const auto add = [this](const char* name, int inputs, int outputs) {
    AddStack(name, inputs, outputs, experts_.count, experts_.type);
    if (!experts_.biases) return;
    AddUniform(absl::StrCat(name, ".bias"), outputs, -kBiasSpread, kBiasSpread, experts_.count);
  };
  AddLinear("ffn_gate_inp", width, experts_.count, experts_.biases);
  if (experts_.fused) {
    add("ffn_gate_up_exps", width, 2 * experts_.size);
  } else {
    add("ffn_gate_exps", width, experts_.size);
    add("ffn_up_exps", width, experts_.size);
  }
  add("ffn_down_exps", experts_.size, width);
  if (experts_.shared_size == 0) return;
  AddLinear("ffn_gate_shexp", width, experts_.shared_size);
  AddLinear("ffn_up_shexp", width, experts_.shared_size);
  AddLinear("ffn_down_shexp", experts_.shared_size, width);
}

}  // namespace baton
