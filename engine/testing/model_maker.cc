#include "engine/testing/model_maker.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/gguf/gguf_writer.h"
#include "engine/testing/random_tensors.h"
#include "engine/testing/small_vocabulary.h"

namespace baton {
namespace {

int HeadSize(const ModelOptions& options) {
  return options.head_size > 0 ? options.head_size : options.width / options.head_count;
}

FileType ChosenFileType(const ModelOptions& options) {
  return options.mix != nullptr ? *options.mix : PureFileType(options.type);
}

// The tensors of a model, each of the type that the options choose.
class TensorAdder {
 public:
  TensorAdder(const ModelOptions& options, GgufWriter* writer)
      : options_(options), tensors_(options.seed, options.fill_tensors, writer) {}

  // Rows of dims[0] weights that keep the size of what they are multiplied with.
  void AddMatrix(const std::string& name, std::vector<uint64_t> dims) {
    const uint64_t row = dims[0];
    tensors_.AddMatrix(name, MatrixType(name, row), std::move(dims),
                       1.0f / std::sqrt(static_cast<float>(row)));
  }
  void AddVector(const std::string& name, uint64_t size, float low, float high) {
    tensors_.AddUniform(name, {size}, low, high);
  }
  void AddRamp(const std::string& name, uint64_t size, float last) {
    tensors_.AddRamp(name, size, last);
  }

 private:
  TensorType MatrixType(const std::string& name, uint64_t row) const {
    if (!IsQuantizable(name, 2)) return TensorType::kF32;
    if (name == "token_embd.weight" && options_.embedding_type) return *options_.embedding_type;
    return ChooseTensorType(ChosenFileType(options_), name, row,
                            {options_.layer_count, options_.tied_output});
  }

  const ModelOptions& options_;
  RandomTensors tensors_;
};

absl::Status CheckOptions(const ModelOptions& options) {
  const auto expect = [](bool is_right, const std::string& otherwise) {
    return is_right ? absl::OkStatus() : absl::InvalidArgumentError(otherwise);
  };
  CHECK(options.layer_count > 0 && options.head_count > 0 && options.kv_head_count > 0);
  RETURN_IF_ERROR(expect(options.head_count % options.kv_head_count == 0,
                         absl::StrCat(options.head_count, " heads, expected a multiple of the ",
                                      options.kv_head_count, " kv heads")));
  RETURN_IF_ERROR(expect(options.head_size > 0 || options.width % options.head_count == 0,
                         absl::StrCat("width ", options.width, ", expected a multiple of the ",
                                      options.head_count, " heads")));
  RETURN_IF_ERROR(expect(HeadSize(options) % 2 == 0,
                         absl::StrCat("heads of ", HeadSize(options),
                                      " elements, expected an even number, as rope turns pairs")));
  RETURN_IF_ERROR(expect(options.vocabulary_size >= kMinVocabulary,
                         absl::StrCat("a vocabulary of ", options.vocabulary_size,
                                      ", expected at least ", kMinVocabulary)));
  return expect(options.expert_count == 0 || options.expert_used_count <= options.expert_count,
                absl::StrCat(options.expert_count, " experts, expected at least the ",
                             options.expert_used_count, " that each token uses"));
}

void AddRopeKeys(const ModelOptions& options, GgufWriter* writer) {
  writer->SetU32("llama.rope.dimension_count", static_cast<uint32_t>(HeadSize(options)));
  writer->SetF32("llama.rope.freq_base", options.rope_base);
  if (options.rope != RopeVariant::kLinear && options.rope != RopeVariant::kYarn) return;
  const bool is_yarn = options.rope == RopeVariant::kYarn;
  writer->SetString("llama.rope.scaling.type", is_yarn ? "yarn" : "linear");
  writer->SetF32("llama.rope.scaling.factor", options.rope_factor);
  if (!is_yarn) return;
  writer->SetU32(
      "llama.rope.scaling.original_context_length",
      static_cast<uint32_t>(static_cast<float>(options.context_length) / options.rope_factor));
}

void AddMetadata(const ModelOptions& options, GgufWriter* writer) {
  const auto set = [writer](const char* key, int value) {
    writer->SetU32(absl::StrCat("llama.", key), static_cast<uint32_t>(value));
  };
  writer->SetString("general.architecture", "llama");
  writer->SetString("general.name", "random llama");
  writer->SetU32("general.quantization_version", 2);
  writer->SetU32("general.file_type", ChosenFileType(options).id);
  writer->SetU32("llama.context_length", options.context_length);
  set("embedding_length", options.width);
  set("block_count", options.layer_count);
  set("feed_forward_length", options.feed_forward_size);
  set("attention.head_count", options.head_count);
  set("attention.head_count_kv", options.kv_head_count);
  if (options.head_size > 0) {
    set("attention.key_length", options.head_size);
    set("attention.value_length", options.head_size);
  }
  writer->SetF32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  set("vocab_size", options.vocabulary_size);
  if (options.expert_count > 0) {
    set("expert_count", options.expert_count);
    set("expert_used_count", options.expert_used_count);
  }
  AddRopeKeys(options, writer);
  SetSmallVocabulary(options.vocabulary_size, writer);
  if (!options.chat_template.empty()) {
    writer->SetString("tokenizer.chat_template", options.chat_template);
  }
}

void AddAttention(const ModelOptions& options, const std::string& block, TensorAdder* adder) {
  const uint64_t width = static_cast<uint64_t>(options.width);
  const uint64_t q_size = static_cast<uint64_t>(options.head_count * HeadSize(options));
  const uint64_t kv_size = static_cast<uint64_t>(options.kv_head_count * HeadSize(options));
  adder->AddVector(block + "attn_norm.weight", width, 0.8f, 1.2f);
  adder->AddMatrix(block + "attn_q.weight", {width, q_size});
  adder->AddMatrix(block + "attn_k.weight", {width, kv_size});
  adder->AddMatrix(block + "attn_v.weight", {width, kv_size});
  adder->AddMatrix(block + "attn_output.weight", {q_size, width});
  if (!options.attention_biases) return;
  adder->AddVector(block + "attn_q.bias", q_size, -0.5f, 0.5f);
  adder->AddVector(block + "attn_k.bias", kv_size, -0.5f, 0.5f);
  adder->AddVector(block + "attn_v.bias", kv_size, -0.5f, 0.5f);
  adder->AddVector(block + "attn_output.bias", width, -0.5f, 0.5f);
}

void AddFeedForward(const ModelOptions& options, const std::string& block, TensorAdder* adder) {
  const uint64_t width = static_cast<uint64_t>(options.width);
  const uint64_t inner = static_cast<uint64_t>(options.feed_forward_size);
  const uint64_t experts = static_cast<uint64_t>(options.expert_count);
  adder->AddVector(block + "ffn_norm.weight", width, 0.8f, 1.2f);
  if (experts == 0) {
    adder->AddMatrix(block + "ffn_gate.weight", {width, inner});
    adder->AddMatrix(block + "ffn_up.weight", {width, inner});
    adder->AddMatrix(block + "ffn_down.weight", {inner, width});
    return;
  }
  adder->AddMatrix(block + "ffn_gate_inp.weight", {width, experts});
  adder->AddMatrix(block + "ffn_gate_exps.weight", {width, inner, experts});
  adder->AddMatrix(block + "ffn_up_exps.weight", {width, inner, experts});
  adder->AddMatrix(block + "ffn_down_exps.weight", {inner, width, experts});
}

absl::StatusOr<GgufWriter> DescribeModel(const ModelOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  GgufWriter writer;
  writer.flaws.version = options.gguf_version;
  AddMetadata(options, &writer);
  TensorAdder adder(options, &writer);
  const uint64_t width = static_cast<uint64_t>(options.width);
  const uint64_t vocabulary = static_cast<uint64_t>(options.vocabulary_size);
  adder.AddMatrix("token_embd.weight", {width, vocabulary});
  if (options.rope == RopeVariant::kFactors) {
    adder.AddRamp("rope_freqs.weight", static_cast<uint64_t>(HeadSize(options) / 2),
                  options.rope_factor);
  }
  for (int layer = 0; layer < options.layer_count; ++layer) {
    const std::string block = absl::StrCat("blk.", layer, ".");
    AddAttention(options, block, &adder);
    AddFeedForward(options, block, &adder);
  }
  adder.AddVector("output_norm.weight", width, 0.8f, 1.2f);
  if (!options.tied_output) adder.AddMatrix("output.weight", {width, vocabulary});
  return writer;
}

}  // namespace

ModelOptions TinyLlamaShape(TensorType type) {
  ModelOptions options;
  options.layer_count = 22;
  options.width = 2048;
  options.head_count = 32;
  options.kv_head_count = 4;
  options.feed_forward_size = 5632;
  options.vocabulary_size = 32000;
  options.type = type;
  return options;
}

absl::Status WriteModel(const ModelOptions& options, const std::string& path, int thread_count) {
  ASSIGN_OR_RETURN(const GgufWriter writer, DescribeModel(options));
  return writer.Write(path, thread_count);
}

absl::StatusOr<std::string> MakeModel(const ModelOptions& options, const std::string& directory) {
  ASSIGN_OR_RETURN(const GgufWriter writer, DescribeModel(options));
  const uint64_t hash = HashText(absl::StrCat(writer.Header(), options.seed, "/",
                                              options.rope_factor, "/", options.fill_tensors));
  const std::string path =
      absl::StrFormat("%s/llama-%s-%016x.gguf", directory, ChosenFileType(options).name, hash);
  RETURN_IF_ERROR(writer.Write(path));
  return path;
}

}  // namespace baton
