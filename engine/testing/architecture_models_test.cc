#include "engine/testing/architecture_models.h"

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "engine/gguf/gguf_file.h"
#include "engine/quant/dequantize.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

std::string WriteModel(const char* name, const TinyModelOptions& options) {
  const std::string path = testing::TempDir() + "/architecture_model.gguf";
  const ArchitectureModel* variant = FindArchitectureModel(name);
  EXPECT_NE(variant, nullptr);
  EXPECT_TRUE(WriteArchitectureModel(*variant, options, path).ok());
  return path;
}

GgufFile ReadModel(const char* name, const TinyModelOptions& options) {
  absl::StatusOr<GgufFile> file = GgufFile::Read(WriteModel(name, options));
  EXPECT_TRUE(file.ok()) << file.status();
  return *std::move(file);
}

std::string Bytes(const char* name, const TinyModelOptions& options) {
  std::stringstream bytes;
  bytes << std::ifstream(WriteModel(name, options), std::ios::binary).rdbuf();
  return bytes.str();
}

std::vector<float> ReadWeights(const GgufFile& file, const char* name) {
  const TensorInfo* tensor = file.FindTensor(name);
  EXPECT_NE(tensor, nullptr);
  std::vector<uint8_t> blocks(tensor->bytes);
  EXPECT_TRUE(file.file()->ReadAt(tensor->offset, blocks.data(), blocks.size()).ok());
  std::vector<float> weights(tensor->elements());
  Dequantize(tensor->type, blocks.data(), weights.size(), weights.data());
  return weights;
}

TEST(ArchitectureModelsTest, NamesDiffer) {
  std::set<std::string> names;
  for (const ArchitectureModel& variant : AllArchitectureModels()) names.insert(variant.name);
  EXPECT_EQ(names.size(), AllArchitectureModels().size());
  EXPECT_EQ(FindArchitectureModel("gpt-5"), nullptr);
}

TEST(ArchitectureModelsTest, BytesFollowFromTheSeed) {
  EXPECT_EQ(Bytes("gemma2", {.seed = 1}), Bytes("gemma2", {.seed = 1}));
  EXPECT_NE(Bytes("gemma2", {.seed = 1}), Bytes("gemma2", {.seed = 2}));
}

TEST(ArchitectureModelsTest, AFileIsSmall) {
  for (const ArchitectureModel& variant : AllArchitectureModels()) {
    EXPECT_LT(Bytes(variant.name, {}).size(), 3u << 20) << variant.name;
  }
}

TEST(ArchitectureModelsTest, DequantizedWeightsAreTheSame) {
  const GgufFile own = ReadModel("gpt-oss", {});
  const char* name = "blk.1.ffn_up_exps";
  EXPECT_EQ(own.FindTensor(name)->type, TensorType::kMXFP4);
  const std::vector<float> expected = ReadWeights(own, name);
  const GgufFile dequantized = ReadModel("gpt-oss", {.dequantized = true});
  EXPECT_EQ(dequantized.FindTensor(name)->type, TensorType::kF32);
  EXPECT_EQ(ReadWeights(dequantized, name), expected);
}

TEST(ArchitectureModelsTest, ATypeIsThatOfAllMatricesThatItFits) {
  const GgufFile file = ReadModel("deepseek2-v3", {.type = TensorType::kQ8_0});
  EXPECT_EQ(file.FindTensor("blk.1.attn_q_a")->type, TensorType::kQ8_0);
  EXPECT_NE(file.FindTensor("blk.1.attn_k_b")->type, TensorType::kQ8_0);  // rows of 16
  EXPECT_EQ(file.FindTensor("blk.1.ffn_gate_inp")->type, TensorType::kF32);
  EXPECT_EQ(file.FindTensor("blk.1.exp_probs_b.bias")->type, TensorType::kF32);
}

}  // namespace
}  // namespace baton
