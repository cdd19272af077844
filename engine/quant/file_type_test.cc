#include "engine/quant/file_type.h"

#include <map>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr uint64_t kWide = 2048;

TensorType Choose(const char* file_type, const std::string& name, uint64_t row = kWide,
                  MixContext context = {22, false}) {
  return ChooseTensorType(*FindFileType(file_type), name, row, context);
}

TEST(FileTypeTest, NamesAndIdsAreDistinct) {
  std::set<uint32_t> ids;
  for (const FileType& file_type : AllFileTypes()) {
    EXPECT_TRUE(ids.insert(file_type.id).second) << file_type.name;
    EXPECT_EQ(FindFileType(file_type.name), &file_type);
  }
  EXPECT_EQ(FindFileType("q4_k_m"), FindFileType("Q4_K_M"));
  EXPECT_EQ(FindFileType("Q9_9"), nullptr);
  for (const TypeTraits& traits : AllTypeTraits()) {
    if (!traits.is_weight) continue;
    const FileType pure = PureFileType(traits.type);
    EXPECT_STREQ(pure.name, traits.name);
    EXPECT_EQ(pure.output, traits.type);
  }
}

// The layers of TinyLlama's Q4_K_M as llama.cpp writes it.
TEST(FileTypeTest, MixGivesMoreBitsToEarlyAndLateLayers) {
  std::set<int> early_or_late;
  for (int layer = 0; layer < 22; ++layer) {
    const std::string block = absl::StrCat("blk.", layer, ".");
    const TensorType type = Choose("Q4_K_M", block + "attn_v.weight");
    EXPECT_EQ(Choose("Q4_K_M", block + "ffn_down.weight"), type);
    EXPECT_EQ(Choose("Q4_K_M", block + "ffn_down_exps.weight"), type);
    if (type == TensorType::kQ6_K) early_or_late.insert(layer);
    EXPECT_EQ(Choose("Q4_K_M", block + "attn_q.weight"), TensorType::kQ4_K);
    EXPECT_EQ(Choose("Q4_K_M", block + "ffn_up.weight"), TensorType::kQ4_K);
  }
  EXPECT_EQ(early_or_late, (std::set<int>{0, 1, 4, 7, 10, 13, 16, 19, 20, 21}));
  EXPECT_EQ(Choose("Q4_K_M", "blk.3.attn_qkv.weight"), TensorType::kQ5_K);
  EXPECT_EQ(Choose("Q5_K_M", "blk.0.ffn_down.weight"), TensorType::kQ6_K);
}

TEST(FileTypeTest, OutputIsTheEmbeddingWhereItIsTied) {
  EXPECT_EQ(Choose("Q4_K_M", "output.weight"), TensorType::kQ6_K);
  EXPECT_EQ(Choose("Q4_K_M", "token_embd.weight"), TensorType::kQ4_K);
  EXPECT_EQ(Choose("Q4_K_M", "token_embd.weight", kWide, {22, true}), TensorType::kQ6_K);
  EXPECT_EQ(Choose("Q4_0", "output.weight"), TensorType::kQ6_K);
  EXPECT_EQ(Choose("Q4_0", "token_embd.weight", 576, {22, true}), TensorType::kQ8_0);
  EXPECT_EQ(Choose("F16", "output.weight"), TensorType::kF16);
}

TEST(FileTypeTest, RowsThatBlocksDoNotDivideFallBack) {
  const std::map<std::string, TensorType> expected = {
      {"Q2_K", TensorType::kQ4_0}, {"Q3_K", TensorType::kQ4_0}, {"Q4_K", TensorType::kQ5_0},
      {"Q5_K", TensorType::kQ5_1}, {"Q6_K", TensorType::kQ8_0}, {"Q4_0", TensorType::kQ4_0},
      {"F32", TensorType::kF32},   {"BF16", TensorType::kBF16}};
  for (const auto& [name, type] : expected) {
    EXPECT_EQ(Choose(name.c_str(), "blk.1.attn_q.weight", 576), type) << name;
  }
  EXPECT_EQ(Choose("Q4_K", "blk.1.attn_q.weight", 60), TensorType::kF16);
  EXPECT_EQ(Choose("Q8_0", "blk.1.attn_q.weight", 60), TensorType::kF16);
}

TEST(FileTypeTest, OnlyMatricesAreQuantized) {
  EXPECT_TRUE(IsQuantizable("blk.0.attn_q.weight", 2));
  EXPECT_TRUE(IsQuantizable("blk.0.ffn_down_exps.weight", 3));
  EXPECT_TRUE(IsQuantizable("token_embd.weight", 2));
  EXPECT_FALSE(IsQuantizable("blk.0.attn_norm.weight", 1));
  EXPECT_FALSE(IsQuantizable("blk.0.attn_q_norm.weight", 2));
  EXPECT_FALSE(IsQuantizable("blk.0.attn_q.bias", 1));
  EXPECT_FALSE(IsQuantizable("blk.0.ffn_gate_inp.weight", 2));
  EXPECT_FALSE(IsQuantizable("rope_freqs.weight", 1));
}

}  // namespace
}  // namespace baton
