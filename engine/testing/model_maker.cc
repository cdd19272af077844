#include "engine/testing/model_maker.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/gguf/gguf_writer.h"
#include "engine/quant/blocks.h"
#include "engine/quant/dequantize.h"
#include "engine/quant/half.h"
#include "engine/quant/quantize.h"

namespace baton {
namespace {

enum class ScaleFormat {
  kHalf,
  kScattered,  // the half of IQ1_M
  kE8M0,       // the exponent of MXFP4
  kE4M3,       // four numbers of NVFP4
};

// Where the scale is in a block, and a minimum that centres the weights when the scale is 1.
struct BlockScales {
  TensorType type;
  size_t scale_offset;
  std::optional<size_t> min_offset;
  float centring_min = 0.0f;
  ScaleFormat format = ScaleFormat::kHalf;
};

constexpr BlockScales kBlockScales[] = {
    {TensorType::kQ4_0, offsetof(BlockQ4_0, d), std::nullopt},
    {TensorType::kQ4_1, offsetof(BlockQ4_1, d), offsetof(BlockQ4_1, m), -7.5f},
    {TensorType::kQ5_0, offsetof(BlockQ5_0, d), std::nullopt},
    {TensorType::kQ5_1, offsetof(BlockQ5_1, d), offsetof(BlockQ5_1, m), -15.5f},
    {TensorType::kQ8_0, offsetof(BlockQ8_0, d), std::nullopt},
    {TensorType::kQ2_K, offsetof(BlockQ2_K, d), offsetof(BlockQ2_K, dmin), 1.5f},
    {TensorType::kQ3_K, offsetof(BlockQ3_K, d), std::nullopt},
    {TensorType::kQ4_K, offsetof(BlockQ4_K, d), offsetof(BlockQ4_K, dmin), 7.5f},
    {TensorType::kQ5_K, offsetof(BlockQ5_K, d), offsetof(BlockQ5_K, dmin), 15.5f},
    {TensorType::kQ6_K, offsetof(BlockQ6_K, d), std::nullopt},
    {TensorType::kIQ1_S, offsetof(BlockIQ1_S, d), std::nullopt},
    {TensorType::kIQ1_M, offsetof(BlockIQ1_M, scales), std::nullopt, 0, ScaleFormat::kScattered},
    {TensorType::kIQ2_XXS, offsetof(BlockIQ2_XXS, d), std::nullopt},
    {TensorType::kIQ2_XS, offsetof(BlockIQ2_XS, d), std::nullopt},
    {TensorType::kIQ2_S, offsetof(BlockIQ2_S, d), std::nullopt},
    {TensorType::kIQ3_XXS, offsetof(BlockIQ3_XXS, d), std::nullopt},
    {TensorType::kIQ3_S, offsetof(BlockIQ3_S, d), std::nullopt},
    {TensorType::kIQ4_NL, offsetof(BlockIQ4_NL, d), std::nullopt},
    {TensorType::kIQ4_XS, offsetof(BlockIQ4_XS, d), std::nullopt},
    {TensorType::kTQ1_0, offsetof(BlockTQ1_0, d), std::nullopt},
    {TensorType::kTQ2_0, offsetof(BlockTQ2_0, d), std::nullopt},
    {TensorType::kMXFP4, offsetof(BlockMXFP4, e), std::nullopt, 0, ScaleFormat::kE8M0},
    {TensorType::kNVFP4, offsetof(BlockNVFP4, d), std::nullopt, 0, ScaleFormat::kE4M3},
    {TensorType::kQ1_0, offsetof(BlockQ1_0, d), std::nullopt},
    {TensorType::kQ2_0, offsetof(BlockQ2_0, d), std::nullopt},
};

void StoreU16(uint16_t value, uint8_t* out) {
  out[0] = static_cast<uint8_t>(value);
  out[1] = static_cast<uint8_t>(value >> 8);
}

void StoreU32(uint32_t value, uint8_t* out) {
  StoreU16(static_cast<uint16_t>(value), out);
  StoreU16(static_cast<uint16_t>(value >> 16), out + 2);
}

void FillRandom(uint8_t* out, size_t size, Random* random) {
  size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const uint64_t bits = random->Next();
    StoreU32(static_cast<uint32_t>(bits), out + i);
    StoreU32(static_cast<uint32_t>(bits >> 32), out + i + 4);
  }
  if (i == size) return;
  for (uint64_t bits = random->Next(); i < size; ++i, bits >>= 8) {
    out[i] = static_cast<uint8_t>(bits);
  }
}

// The unsigned float of four exponent bits (bias 7) and three mantissa bits nearest to a small
// value.
uint8_t FloatToE4M3(float value) {
  int exponent = 0;
  std::frexp(value, &exponent);
  exponent = std::max(exponent - 1, -6);  // below, steps stay as they are
  const long eighths = std::lround(std::ldexp(value, 3 - exponent));
  return static_cast<uint8_t>(std::clamp((exponent + 6L) * 8 + eighths, 1L, 0x7EL));
}

void StoreScale(ScaleFormat format, float scale, uint8_t* out) {
  switch (format) {
    case ScaleFormat::kHalf:
      return StoreU16(FloatToHalf(scale), out);
    case ScaleFormat::kScattered:
      return PackIQ1MScale(FloatToHalf(scale), out);
    case ScaleFormat::kE8M0:
      *out = static_cast<uint8_t>(128 + std::lround(std::log2(std::abs(scale))));
      return;
    case ScaleFormat::kE4M3:
      std::fill_n(out, sizeof(BlockNVFP4::d), FloatToE4M3(2 * std::abs(scale)));
      return;
  }
}

// Weights are linear in the scale and the minimum together, so a block is measured with the scale
// 1 and then scaled to the wanted size.
void FillQuantBlock(const BlockScales& scales, uint32_t bytes, uint32_t elements, float rms,
                    Random* random, uint8_t* out) {
  FillRandom(out, bytes, random);
  StoreScale(scales.format, 1.0f, out + scales.scale_offset);
  if (scales.min_offset) StoreU16(FloatToHalf(scales.centring_min), out + *scales.min_offset);
  float weights[kSuperBlock];
  Dequantize(scales.type, out, elements, weights);
  float sum = 0.0f;
  for (uint32_t i = 0; i < elements; ++i) sum += weights[i] * weights[i];
  const float found = std::sqrt(sum / static_cast<float>(elements));
  // Blocks differ in size, as those of trained models do.
  const float factor = rms * random->Uniform(0.5f, 1.5f) / std::max(found, 1.0f);
  const float sign = random->Below(2) == 0 ? factor : -factor;
  StoreScale(scales.format, sign, out + scales.scale_offset);
  if (scales.min_offset) {
    StoreU16(FloatToHalf(sign * scales.centring_min), out + *scales.min_offset);
  }
}

void StoreF32(float value, uint8_t* out) { StoreU32(std::bit_cast<uint32_t>(value), out); }

bool IsFloatType(TensorType type) { return TraitsOf(type).block_elements == 1; }

uint64_t HashText(absl::string_view text) {
  uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

int HeadSize(const ModelOptions& options) {
  return options.head_size > 0 ? options.head_size : options.width / options.head_count;
}

FileType ChosenFileType(const ModelOptions& options) {
  return options.mix != nullptr ? *options.mix : PureFileType(options.type);
}

// Adds the tensors of a model to a writer. A row's weights follow from the seed, the tensor's name
// and the row's number alone, so threads may share a tensor in any way.
class TensorAdder {
 public:
  TensorAdder(const ModelOptions& options, GgufWriter* writer)
      : options_(options), writer_(writer) {}

  // Rows of dims[0] weights that keep the size of what they are multiplied with.
  void AddMatrix(const std::string& name, std::vector<uint64_t> dims) {
    const uint64_t row = dims[0];
    const TensorType type = MatrixType(name, row);
    const float rms = 1.0f / std::sqrt(static_cast<float>(row));
    Add(name, type, std::move(dims), [type, row, rms](Random* random, uint8_t* out) {
      FillRandomBlocks(type, row, rms, random, out);
    });
  }

  void AddVector(const std::string& name, uint64_t size, float low, float high) {
    Add(name, TensorType::kF32, {size}, [size, low, high](Random* random, uint8_t* out) {
      for (uint64_t i = 0; i < size; ++i) {
        StoreF32(random->Uniform(low, high), out + 4 * i);
      }
    });
  }

  // Ascending from 1 to `last`.
  void AddRamp(const std::string& name, uint64_t size, float last) {
    Add(name, TensorType::kF32, {size}, [size, last](Random*, uint8_t* out) {
      for (uint64_t i = 0; i < size; ++i) {
        const float share = size > 1 ? static_cast<float>(i) / static_cast<float>(size - 1) : 0.0f;
        StoreF32(1.0f + (last - 1.0f) * share, out + 4 * i);
      }
    });
  }

 private:
  TensorType MatrixType(const std::string& name, uint64_t row) const {
    if (!IsQuantizable(name, 2)) return TensorType::kF32;
    if (name == "token_embd.weight" && options_.embedding_type) return *options_.embedding_type;
    return ChooseTensorType(ChosenFileType(options_), name, row,
                            {options_.layer_count, options_.tied_output});
  }

  // make_row(random, out) makes one row.
  template <typename MakeRow>
  void Add(const std::string& name, TensorType type, std::vector<uint64_t> dims, MakeRow make_row) {
    TensorFill fill;
    if (options_.fill_tensors) {
      const uint64_t seed = options_.seed * 0x9E3779B97F4A7C15u ^ HashText(name);
      const uint64_t row_bytes = RowBytes(type, dims[0]);
      fill = [seed, row_bytes, make_row](uint64_t first_row, uint64_t row_count, uint8_t* out) {
        for (uint64_t row = 0; row < row_count; ++row) {
          Random random(Random(seed + first_row + row).Next());
          make_row(&random, out + row * row_bytes);
        }
        return absl::OkStatus();
      };
    }
    writer_->AddTensor(name, type, std::move(dims), std::move(fill));
  }

  const ModelOptions& options_;
  GgufWriter* writer_;
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

// The pieces after the byte tokens, the likeliest first: a space, characters, then pieces that
// are two known pieces put together, as a merging tokenizer needs them.
std::vector<std::string> MakePieces(size_t count) {
  const std::string space = "\u2581";
  std::vector<std::string> pieces = {space};
  const std::string letters = "etaoinshrdlucmfwypvbgkjqxz";
  for (const char c : letters) pieces.emplace_back(1, c);
  for (const char c : std::string("ETAOINSHRDLUCMFWYPVBGKJQXZ0123456789.,!?'-:;\"()")) {
    pieces.emplace_back(1, c);
  }
  for (const char* piece : {"th", "he", "in", "er", "on", "an", "the", "and", "ing"}) {
    pieces.emplace_back(piece);
  }
  for (const char* piece : {"t", "a", "th", "the", "an", "and", "s", "w", "o", "i", "in"}) {
    pieces.push_back(space + piece);
  }
  std::set<std::string> known(pieces.begin(), pieces.end());
  for (size_t first = 1; pieces.size() < count; ++first) {
    for (const char c : letters) {
      std::string piece = pieces[first] + c;
      if (known.insert(piece).second) pieces.push_back(std::move(piece));
    }
  }
  pieces.resize(count);
  return pieces;
}

void AddVocabulary(const ModelOptions& options, GgufWriter* writer) {
  enum TokenType { kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6 };
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {kUnknown, kControl, kControl};
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(absl::StrFormat("<0x%02X>", byte));
  types.resize(tokens.size(), kByte);
  std::vector<float> scores(tokens.size(), 0.0f);
  const size_t size = static_cast<size_t>(options.vocabulary_size);
  for (std::string& piece : MakePieces(size - tokens.size())) {
    scores.push_back(-static_cast<float>(scores.size() - kMinVocabulary));
    tokens.push_back(std::move(piece));
  }
  types.resize(tokens.size(), kNormal);
  writer->SetString("tokenizer.ggml.model", "llama");
  writer->SetStrings("tokenizer.ggml.tokens", std::move(tokens));
  writer->SetF32s("tokenizer.ggml.scores", scores);
  writer->SetI32s("tokenizer.ggml.token_type", types);
  writer->SetU32("tokenizer.ggml.unknown_token_id", 0);
  writer->SetU32("tokenizer.ggml.bos_token_id", 1);
  writer->SetU32("tokenizer.ggml.eos_token_id", 2);
  writer->SetBool("tokenizer.ggml.add_bos_token", true);
  writer->SetBool("tokenizer.ggml.add_eos_token", false);
  if (!options.chat_template.empty()) {
    writer->SetString("tokenizer.chat_template", options.chat_template);
  }
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
  AddVocabulary(options, writer);
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

void FillRandomBlocks(TensorType type, size_t elements, float rms, Random* random, uint8_t* out) {
  const TypeTraits& traits = TraitsOf(type);
  if (IsFloatType(type)) {
    const float bound = rms * std::sqrt(3.0f);  // a uniform distribution has this rms
    std::vector<float> weights(elements);
    for (float& weight : weights) weight = random->Uniform(-bound, bound);
    Quantize(type, weights.data(), elements, out);
    return;
  }
  const auto* scales = std::find_if(std::begin(kBlockScales), std::end(kBlockScales),
                                    [type](const BlockScales& s) { return s.type == type; });
  CHECK(scales != std::end(kBlockScales));
  const uint8_t* const end = out + RowBytes(type, elements);
  for (; out != end; out += traits.block_bytes) {
    FillQuantBlock(*scales, traits.block_bytes, traits.block_elements, rms, random, out);
  }
}

}  // namespace baton
