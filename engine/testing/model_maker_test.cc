#include "engine/testing/model_maker.h"

#include <cmath>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "engine/gguf/gguf_file.h"
#include "engine/quant/dequantize.h"
#include "engine/testing/random_blocks.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

std::string ReadWhole(const std::string& path) {
  std::stringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

GgufFile Make(const ModelOptions& options) {
  absl::StatusOr<std::string> path = MakeModel(options, testing::TempDir());
  EXPECT_TRUE(path.ok()) << path.status();
  absl::StatusOr<GgufFile> file = GgufFile::Read(*path);
  EXPECT_TRUE(file.ok()) << file.status();
  return *std::move(file);
}

std::vector<float> ReadWeights(const GgufFile& file, const TensorInfo& tensor) {
  std::vector<uint8_t> blocks(tensor.bytes);
  EXPECT_TRUE(file.file()->ReadAt(tensor.offset, blocks.data(), blocks.size()).ok());
  EXPECT_FALSE(FindNonFinite(tensor.type, blocks.data(), tensor.elements()).has_value());
  std::vector<float> weights(tensor.elements());
  Dequantize(tensor.type, blocks.data(), weights.size(), weights.data());
  return weights;
}

bool IsMatrix(const TensorInfo& tensor) { return tensor.dim_count > 1; }

double Rms(const std::vector<float>& weights) {
  double sum = 0;
  for (const float w : weights) sum += static_cast<double>(w) * w;
  return std::sqrt(sum / static_cast<double>(weights.size()));
}

double Mean(const std::vector<float>& weights) {
  double sum = 0;
  for (const float w : weights) sum += w;
  return sum / static_cast<double>(weights.size());
}

TEST(ModelMakerTest, EveryTypeHasSaneWeights) {
  for (const TypeTraits& traits : AllTypeTraits()) {
    if (!traits.is_weight) continue;
    SCOPED_TRACE(traits.name);
    ModelOptions options;
    options.type = traits.type;
    options.width = options.feed_forward_size = 256;
    options.vocabulary_size = 512;
    const GgufFile file = Make(options);
    EXPECT_EQ(file.tensors().size(), 3u + 2 * 9);
    for (const TensorInfo& tensor : file.tensors()) {
      SCOPED_TRACE(tensor.name);
      const std::vector<float> weights = ReadWeights(file, tensor);
      if (IsMatrix(tensor)) {
        EXPECT_EQ(tensor.type, traits.type);
        const double expected = 1 / std::sqrt(static_cast<double>(tensor.dims[0]));
        EXPECT_NEAR(Rms(weights), expected, 0.25 * expected);
        EXPECT_NEAR(Mean(weights), 0, 0.1 * expected);
      } else {
        EXPECT_EQ(tensor.type, TensorType::kF32);
        EXPECT_NEAR(Mean(weights), 1, 0.05);
      }
    }
  }
}

TEST(ModelMakerTest, SameOptionsGiveTheSameBytes) {
  ModelOptions options;
  options.type = TensorType::kQ4_0;
  const std::string first = Make(options).path();
  const std::string bytes = ReadWhole(first);
  const std::string second = testing::TempDir() + "/again.gguf";
  ASSERT_TRUE(WriteModel(options, second).ok());
  EXPECT_EQ(ReadWhole(second), bytes);
  options.seed = 2;
  const std::string other = Make(options).path();
  EXPECT_NE(other, first);
  EXPECT_NE(ReadWhole(other), bytes);
}

TEST(ModelMakerTest, ThreadsChangeNoByte) {
  ModelOptions options;
  options.width = 256;
  options.vocabulary_size = 20000;  // an embedding of several pieces
  options.mix = FindFileType("Q4_K_M");
  const GgufFile one = Make(options);
  const std::string path = testing::TempDir() + "/three_threads.gguf";
  ASSERT_TRUE(WriteModel(options, path, 3).ok());
  EXPECT_EQ(ReadWhole(path), ReadWhole(one.path()));
}

TEST(ModelMakerTest, AMixChoosesTypes) {
  ModelOptions options;
  options.layer_count = 3;
  options.width = options.feed_forward_size = 256;
  options.mix = FindFileType("Q4_K_M");
  const GgufFile file = Make(options);
  EXPECT_EQ(*file.GetU32("general.file_type"), 15u);
  EXPECT_EQ(file.FindTensor("token_embd")->type, TensorType::kQ4_K);
  EXPECT_EQ(file.FindTensor("output")->type, TensorType::kQ6_K);
  EXPECT_EQ(file.FindTensor("blk.2.ffn_down")->type, TensorType::kQ6_K);
  EXPECT_EQ(file.FindTensor("blk.2.ffn_up")->type, TensorType::kQ4_K);
}

TEST(ModelMakerTest, RowsThatBlocksDoNotDivideFallBack) {
  ModelOptions options;
  options.type = TensorType::kQ4_K;
  EXPECT_EQ(Make(options).FindTensor("blk.0.attn_q")->type, TensorType::kQ5_0);
}

TEST(ModelMakerTest, ContradictionsAreErrors) {
  ModelOptions options;
  options.kv_head_count = 3;
  EXPECT_EQ(WriteModel(options, testing::TempDir() + "/never").message(),
            "4 heads, expected a multiple of the 3 kv heads");
}

// A figure from one machine: the bytes must be these on every other one.
TEST(ModelMakerTest, BytesAreThoseOfEveryMachine) {
  Random random(1);
  EXPECT_EQ(random.Next(), 0x910A2DEC89025CC1u);
  std::vector<uint8_t> blocks(RowBytes(TensorType::kQ4_K, 256));
  FillRandomBlocks(TensorType::kQ4_K, 256, 0.05f, &random, blocks.data());
  uint32_t sum = 0;
  for (const uint8_t byte : blocks) sum = sum * 31 + byte;
  EXPECT_EQ(sum, 1023657371u);
}

TEST(ModelMakerTest, ShapesFollowTheOptions) {
  ModelOptions options;
  options.layer_count = 3;
  options.width = 96;
  options.head_count = 6;
  options.kv_head_count = 3;
  options.head_size = 32;
  options.feed_forward_size = 160;
  options.type = TensorType::kQ8_0;
  options.embedding_type = TensorType::kF16;
  options.attention_biases = true;
  options.tied_output = true;
  options.rope = RopeVariant::kFactors;
  options.chat_template = "{{ messages }}";
  const GgufFile file = Make(options);
  EXPECT_EQ(file.tensors().size(), 3u + 3 * 13);
  EXPECT_EQ(file.FindTensor("output"), nullptr);
  EXPECT_EQ(file.FindTensor("token_embd")->type, TensorType::kF16);
  EXPECT_EQ(file.FindTensor("blk.2.attn_q")->ShapeText(), "96 x 192");
  EXPECT_EQ(file.FindTensor("blk.2.attn_v")->ShapeText(), "96 x 96");
  EXPECT_EQ(file.FindTensor("blk.2.attn_output")->ShapeText(), "192 x 96");
  EXPECT_EQ(file.FindTensor("blk.2.attn_k.bias")->ShapeText(), "96");
  EXPECT_EQ(file.FindTensor("blk.0.ffn_down")->ShapeText(), "160 x 96");
  const std::vector<float> freqs = ReadWeights(file, *file.FindTensor("rope_freqs"));
  EXPECT_EQ(freqs.size(), 16u);
  EXPECT_EQ(freqs.front(), 1.0f);
  EXPECT_EQ(freqs.back(), 4.0f);
  EXPECT_EQ(*file.GetU32("llama.attention.key_length"), 32u);
  EXPECT_EQ(*file.GetU32("llama.block_count"), 3u);
  EXPECT_EQ(*file.GetString("tokenizer.chat_template"), "{{ messages }}");
}

TEST(ModelMakerTest, Experts) {
  ModelOptions options;
  options.expert_count = 4;
  const GgufFile file = Make(options);
  EXPECT_EQ(file.FindTensor("blk.0.ffn_gate"), nullptr);
  EXPECT_EQ(file.FindTensor("blk.0.ffn_gate_inp")->ShapeText(), "64 x 4");
  EXPECT_EQ(file.FindTensor("blk.0.ffn_gate_exps")->ShapeText(), "64 x 128 x 4");
  EXPECT_EQ(file.FindTensor("blk.1.ffn_down_exps")->ShapeText(), "128 x 64 x 4");
  EXPECT_EQ(*file.GetU32("llama.expert_used_count"), 2u);
}

TEST(ModelMakerTest, RopeScalingKeys) {
  ModelOptions options;
  options.rope = RopeVariant::kYarn;
  const GgufFile yarn = Make(options);
  EXPECT_EQ(*yarn.GetString("llama.rope.scaling.type"), "yarn");
  EXPECT_EQ(*yarn.GetF32("llama.rope.scaling.factor"), 4.0f);
  EXPECT_EQ(*yarn.GetU32("llama.rope.scaling.original_context_length"), 512u);
  options.rope = RopeVariant::kLinear;
  EXPECT_EQ(*Make(options).GetString("llama.rope.scaling.type"), "linear");
}

TEST(ModelMakerTest, Vocabulary) {
  ModelOptions options;
  options.vocabulary_size = 2000;
  const GgufFile file = Make(options);
  const std::vector<std::string>& tokens = **file.GetStrings("tokenizer.ggml.tokens");
  ASSERT_EQ(tokens.size(), 2000u);
  EXPECT_EQ(tokens[2], "</s>");
  EXPECT_EQ(tokens[3 + 10], "<0x0A>");
  EXPECT_EQ(tokens[258], "<0xFF>");
  EXPECT_EQ(tokens[259], "\u2581");
  EXPECT_EQ(std::set<std::string>(tokens.begin(), tokens.end()).size(), tokens.size());
  const std::vector<float> scores = **file.GetFloats("tokenizer.ggml.scores");
  ASSERT_EQ(scores.size(), 2000u);
  EXPECT_EQ(scores[259], 0.0f);
  EXPECT_EQ(scores[1999], -1740.0f);
  const std::vector<int64_t> types = **file.GetIntegers("tokenizer.ggml.token_type");
  ASSERT_EQ(types.size(), 2000u);
  EXPECT_EQ(types[0], 2);
  EXPECT_EQ(types[1], 3);
  EXPECT_EQ(types[258], 6);
  EXPECT_EQ(types[259], 1);
}

TEST(ModelMakerTest, TinyLlamaCostsNoDiskWithoutItsWeights) {
  ModelOptions options = TinyLlamaShape(TensorType::kQ4_0);
  options.fill_tensors = false;
  const GgufFile file = Make(options);
  EXPECT_EQ(file.tensors().size(), 201u);
}

}  // namespace
}  // namespace baton
