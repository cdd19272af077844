#include "engine/model/model_spec.h"

#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/gguf/gguf_writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using ::testing::HasSubstr;

GgufValue U32(uint64_t value) { return {GgufType::kU32, false, std::vector<uint64_t>{value}}; }
GgufValue U32s(std::vector<uint64_t> values) { return {GgufType::kU32, true, std::move(values)}; }
GgufValue F32(double value) { return {GgufType::kF32, false, std::vector<double>{value}}; }
GgufValue Text(std::string value) {
  return {GgufType::kString, false, std::vector<std::string>{std::move(value)}};
}

struct TestTensor {
  std::vector<uint64_t> dims;
  TensorType type = TensorType::kF32;
};

// The header of a llama of 3 layers, width 32, 4 heads, 2 KV heads; tests change what they test.
struct TestHeader {
  std::map<std::string, GgufValue> keys = {
      {"general.architecture", Text("llama")},
      {"llama.context_length", U32(512)},
      {"llama.block_count", U32(3)},
      {"llama.embedding_length", U32(32)},
      {"llama.feed_forward_length", U32(64)},
      {"llama.attention.head_count", U32(4)},
      {"llama.attention.head_count_kv", U32(2)},
      {"llama.attention.layer_norm_rms_epsilon", F32(1e-5)},
  };
  std::map<std::string, TestTensor> tensors = {
      {"token_embd.weight", {{32, 100}}},
      {"output_norm.weight", {{32}}},
      {"output.weight", {{32, 100}}},
  };

  TestHeader() {
    for (int layer = 0; layer < 3; ++layer) {
      Layer(layer, "attn_norm") = {{32}};
      Layer(layer, "attn_q") = {{32, 32}};
      Layer(layer, "attn_k") = {{32, 16}};
      Layer(layer, "attn_v") = {{32, 16}};
      Layer(layer, "attn_output") = {{32, 32}};
      Layer(layer, "ffn_norm") = {{32}};
      Layer(layer, "ffn_gate") = {{32, 64}};
      Layer(layer, "ffn_up") = {{32, 64}};
      Layer(layer, "ffn_down") = {{64, 32}};
    }
  }

  TestTensor& Layer(int layer, const std::string& name, const std::string& suffix = ".weight") {
    return tensors["blk." + std::to_string(layer) + "." + name + suffix];
  }
  void MakeExperts(int count, int used) {
    const uint64_t experts = count;
    keys["llama.expert_count"] = U32(experts);
    keys["llama.expert_used_count"] = U32(used);
    for (int layer = 0; layer < 3; ++layer) {
      for (const char* name : {"ffn_gate", "ffn_up", "ffn_down"}) {
        tensors.erase("blk." + std::to_string(layer) + "." + name + ".weight");
      }
      Layer(layer, "ffn_gate_inp") = {{32, experts}};
      Layer(layer, "ffn_gate_exps") = {{32, 64, experts}};
      Layer(layer, "ffn_up_exps") = {{32, 64, experts}};
      Layer(layer, "ffn_down_exps") = {{64, 32, experts}};
    }
  }

  absl::StatusOr<ModelSpec> Read() const {
    GgufWriter writer;
    for (const auto& [key, value] : keys) writer.Set(key, value);
    for (const auto& [name, tensor] : tensors) writer.AddTensor(name, tensor.type, tensor.dims);
    const std::string path = std::filesystem::path(::testing::TempDir()) / "model_spec_test.gguf";
    absl::Status status = writer.Write(path);
    if (!status.ok()) return status;
    const absl::StatusOr<GgufFile> file = GgufFile::Read(path);
    if (!file.ok()) return file.status();
    return ModelSpec::Read(*file);
  }
  std::string Error() const { return std::string(Read().status().message()); }
};

TEST(ModelSpecTest, ReadsDimensionsAndDefaults) {
  const absl::StatusOr<ModelSpec> spec = TestHeader().Read();
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->architecture, "llama");
  EXPECT_EQ(spec->layer_count, 3);
  EXPECT_EQ(spec->width, 32);
  EXPECT_EQ(spec->vocabulary_size, 100);
  EXPECT_EQ(spec->context_length, 512u);
  EXPECT_EQ(spec->key_size, 8);
  EXPECT_EQ(spec->value_size, 8);
  EXPECT_EQ(spec->layers[2].head_count, 4);
  EXPECT_EQ(spec->layers[2].kv_head_count, 2);
  EXPECT_EQ(spec->layers[2].feed_forward_size, 64);
  EXPECT_EQ(spec->expert_count, 0);
  EXPECT_FLOAT_EQ(spec->norm_epsilon, 1e-5f);
  EXPECT_EQ(spec->ropes[0].kind, RopeKind::kAdjacent);
  EXPECT_EQ(spec->ropes[0].dimension_count, 8);
  EXPECT_EQ(spec->ropes[0].frequency_base, 10000.0f);
  EXPECT_EQ(spec->ropes[0].factor, 1.0f);
  EXPECT_TRUE(spec->ropes[0].divisors.empty());
  EXPECT_FALSE(spec->tied_output);
}

TEST(ModelSpecTest, KvHeadsDefaultToHeads) {
  TestHeader header;
  header.keys.erase("llama.attention.head_count_kv");
  for (int layer = 0; layer < 3; ++layer) {
    header.Layer(layer, "attn_k").dims = {32, 32};
    header.Layer(layer, "attn_v").dims = {32, 32};
  }
  const absl::StatusOr<ModelSpec> spec = header.Read();
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->layers[0].kv_head_count, 4);
}

TEST(ModelSpecTest, ArraysGiveNumbersByLayer) {
  TestHeader header;
  header.keys["llama.attention.head_count_kv"] = U32s({2, 4, 1});
  header.keys["llama.feed_forward_length"] = U32s({64, 96, 64});
  header.Layer(1, "attn_k").dims = header.Layer(1, "attn_v").dims = {32, 32};
  header.Layer(2, "attn_k").dims = header.Layer(2, "attn_v").dims = {32, 8};
  header.Layer(1, "ffn_gate").dims = header.Layer(1, "ffn_up").dims = {32, 96};
  header.Layer(1, "ffn_down").dims = {96, 32};
  const absl::StatusOr<ModelSpec> spec = header.Read();
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->layers[1].kv_head_count, 4);
  EXPECT_EQ(spec->layers[2].kv_head_count, 1);
  EXPECT_EQ(spec->layers[1].feed_forward_size, 96);
  header.keys["llama.attention.head_count_kv"] = U32s({2, 4});
  EXPECT_THAT(header.Error(), HasSubstr("head_count_kv has 2 entries, expected one for each of 3"));
}

TEST(ModelSpecTest, HeadSizeOtherThanWidthByHeads) {
  TestHeader header;
  header.keys["llama.attention.head_count"] = U32(3);  // does not divide 32
  header.keys["llama.attention.head_count_kv"] = U32(1);
  header.keys["llama.attention.key_length"] = U32(16);
  header.keys["llama.attention.value_length"] = U32(24);
  for (int layer = 0; layer < 3; ++layer) {
    header.Layer(layer, "attn_q").dims = {32, 48};
    header.Layer(layer, "attn_k").dims = {32, 16};
    header.Layer(layer, "attn_v").dims = {32, 24};
    header.Layer(layer, "attn_output").dims = {72, 32};
  }
  const absl::StatusOr<ModelSpec> spec = header.Read();
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->key_size, 16);
  EXPECT_EQ(spec->value_size, 24);
  EXPECT_EQ(spec->ropes[0].dimension_count, 16);
}

TEST(ModelSpecTest, TiedOutputIsTheEmbedding) {
  TestHeader header;
  header.tensors.erase("output.weight");
  const absl::StatusOr<ModelSpec> spec = header.Read();
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(spec->tied_output);
  EXPECT_EQ(spec->output.tensor.name, "token_embd.weight");
  const ModelBytes bytes = CountModelBytes(*spec);
  EXPECT_EQ(bytes.embedding, 32u * 100 * 4);
  EXPECT_EQ(bytes.head, 32u * 100 * 4 + 32 * 4);
  EXPECT_EQ(CountStageBytes(bytes, 0, 3, true, true) - CountStageBytes(bytes, 0, 3, true, false),
            32u * 4);
}

TEST(ModelSpecTest, FusedProjectionsAreSlices) {
  TestHeader header;
  for (int layer = 0; layer < 3; ++layer) {
    for (const char* name : {"attn_q", "attn_k", "attn_v"}) {
      header.tensors.erase("blk." + std::to_string(layer) + "." + name + ".weight");
    }
    header.Layer(layer, "attn_qkv") = {{32, 64}};
    header.Layer(layer, "attn_qkv", ".bias") = {{64}};
  }
  const absl::StatusOr<ModelSpec> spec = header.Read();
  ASSERT_TRUE(spec.ok()) << spec.status();
  const LayerSpec& layer = spec->layers[1];
  EXPECT_EQ(layer.query.weight.rows, 32);
  EXPECT_EQ(layer.key.weight.first_row, 32);
  EXPECT_EQ(layer.value.weight.first_row, 48);
  EXPECT_EQ(layer.value.weight.offset(), layer.query.weight.offset() + 48 * 32 * 4);
  EXPECT_EQ(layer.value.bias.offset(), layer.query.bias.offset() + 48 * 4);
}

TEST(ModelSpecTest, BiasesAreReadWhereTheyAre) {
  TestHeader header;
  header.Layer(0, "attn_k", ".bias") = {{16}};
  const absl::StatusOr<ModelSpec> spec = header.Read();
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->layers[0].key.bias.rows, 16);
  EXPECT_TRUE(spec->layers[1].key.bias.empty());
}

TEST(ModelSpecTest, ExpertsAreSlices) {
  TestHeader header;
  header.MakeExperts(4, 2);
  const absl::StatusOr<ModelSpec> spec = header.Read();
  ASSERT_TRUE(spec.ok()) << spec.status();
  const LayerSpec& layer = spec->layers[0];
  ASSERT_EQ(layer.experts.size(), 4u);
  EXPECT_EQ(layer.router.weight.rows, 4);
  EXPECT_EQ(layer.experts[3].down.weight.first_row, 3 * 32);
  EXPECT_EQ(layer.experts[3].gate.weight.offset(),
            layer.experts[0].gate.weight.offset() + 3 * 32 * 64 * 4);
}

TEST(ModelSpecTest, ExpertsOfOldFilesAreTensors) {
  TestHeader header;
  header.MakeExperts(2, 1);
  for (int layer = 0; layer < 3; ++layer) {
    for (const char* name : {"ffn_gate", "ffn_up", "ffn_down"}) {
      const TestTensor merged = header.Layer(layer, std::string(name) + "_exps");
      header.tensors.erase("blk." + std::to_string(layer) + "." + name + "_exps.weight");
      for (const char* expert : {".0", ".1"}) {
        header.Layer(layer, std::string(name) + expert) = {{merged.dims[0], merged.dims[1]}};
      }
    }
  }
  const absl::StatusOr<ModelSpec> spec = header.Read();
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->layers[2].experts[1].up.weight.tensor.name, "blk.2.ffn_up.1.weight");
}

TEST(ModelSpecTest, BytesOfTheWholeAreTheSumOfTheTensors) {
  TestHeader header;
  header.MakeExperts(4, 2);
  header.Layer(0, "attn_q", ".bias") = {{32}};
  const absl::StatusOr<ModelSpec> spec = header.Read();
  ASSERT_TRUE(spec.ok()) << spec.status();
  uint64_t sum = 0;
  for (const auto& [name, tensor] : header.tensors) {
    uint64_t elements = 1;
    for (const uint64_t dim : tensor.dims) elements *= dim;
    sum += elements * 4;
  }
  EXPECT_EQ(CountStageBytes(CountModelBytes(*spec), 0, 3, true, true), sum);
}

TEST(ModelSpecTest, RopeScaling) {
  TestHeader header;
  header.keys["llama.rope.scaling.factor"] = F32(4.0);
  EXPECT_EQ(header.Read()->ropes[0].scaling, RopeScaling::kLinear);
  header.keys["llama.rope.scaling.type"] = Text("yarn");
  EXPECT_EQ(header.Read()->ropes[0].scaling, RopeScaling::kYarn);
  EXPECT_EQ(header.Read()->ropes[0].original_context, 512u);
  header.keys["llama.rope.scaling.original_context_length"] = U32(128);
  EXPECT_EQ(header.Read()->ropes[0].original_context, 128u);
  header.keys["llama.rope.scaling.type"] = Text("longrope");
  EXPECT_THAT(header.Error(), HasSubstr("tensor rope_factors_long.weight is missing"));
  header.keys["llama.rope.scaling.type"] = Text("su");
  EXPECT_THAT(header.Error(), HasSubstr("rope.scaling.type is \"su\""));
  header.keys["llama.rope.scaling.type"] = Text("none");
  EXPECT_EQ(header.Read()->ropes[0].scaling, RopeScaling::kNone);
  header.keys["llama.rope.scaling.factor"] = F32(0.0);
  EXPECT_EQ(header.Read()->ropes[0].factor, 1.0f);
}

TEST(ModelSpecTest, ContextBeyondTheBoundIsCutDown) {
  TestHeader header;
  header.keys["llama.context_length"] = U32(2147483648u);
  EXPECT_EQ(header.Read()->context_length, kMaxContextLength);
}

TEST(ModelSpecTest, AnUnknownArchitectureIsNamed) {
  TestHeader header;
  header.keys["general.architecture"] = Text("nosuch");
  const absl::Status status = header.Read().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr("architecture \"nosuch\" is not supported; supported: cohere2, command-r, "));
}

TEST(ModelSpecTest, WrongNumbersAreNamed) {
  const struct {
    const char* key;
    GgufValue value;
    const char* expected;
  } kCases[] = {
      {"llama.block_count", U32(0), "llama.block_count is 0, expected 1 to 512"},
      {"llama.block_count", U32(513), "llama.block_count is 513, expected 1 to 512"},
      {"llama.block_count", U32(4294967295u), "is 4294967295, expected 1 to 512"},
      {"llama.block_count", U32(4), "tensor blk.3.attn_norm.weight is missing"},
      {"llama.block_count", U32(2), "is of layer 2, but llama.block_count is 2"},
      {"llama.embedding_length", U32(0), "llama.embedding_length is 0"},
      {"llama.embedding_length", U32(64), "has shape [32, 100], expected [64, 100]"},
      {"llama.embedding_length", U32(2147483648u), "llama.embedding_length is 2147483648"},
      {"llama.feed_forward_length", U32(65), "has shape [32, 64], expected [32, 65]"},
      {"llama.attention.head_count", U32(0), "llama.attention.head_count is 0"},
      {"llama.attention.head_count", U32(5), "does not divide attention.head_count, 5"},
      {"llama.attention.head_count", U32(64), "which does not divide embedding_length, 32"},
      {"llama.attention.head_count", U32(8), "blk.0.attn_k.weight has shape [32, 16]"},
      {"llama.attention.head_count_kv", U32(0), "llama.attention.head_count_kv is 0"},
      {"llama.attention.head_count_kv", U32(3), "does not divide attention.head_count, 4"},
      {"llama.attention.head_count_kv", U32(8), "does not divide attention.head_count, 4"},
      {"llama.attention.layer_norm_rms_epsilon", F32(0), "expected a finite number above 0"},
      {"llama.attention.layer_norm_rms_epsilon", F32(NAN), "expected a finite number above 0"},
      {"llama.rope.dimension_count", U32(7), "rope.dimension_count is 7, expected an even number"},
      {"llama.rope.dimension_count", U32(10), "rope.dimension_count is 10, expected 2 to 8"},
      {"llama.rope.freq_base", F32(-1), "llama.rope.freq_base is -1"},
      {"llama.rope.scaling.factor", F32(NAN), "llama.rope.scaling.factor is nan"},
      {"llama.context_length", U32(0), "llama.context_length is 0"},
      {"llama.expert_count", U32(4), "key llama.expert_used_count is missing"},
      {"llama.expert_count", U32(100000), "llama.expert_count is 100000"},
      {"llama.attention.sliding_window", U32(64),
       "key llama.attention.sliding_window is not supported for architecture \"llama\""},
      {"llama.logit_scale", F32(2), "key llama.logit_scale is not supported"},
  };
  for (const auto& c : kCases) {
    TestHeader header;
    header.keys[c.key] = c.value;
    EXPECT_THAT(header.Error(), HasSubstr(c.expected)) << c.key;
  }
}

TEST(ModelSpecTest, ExpertsUsedAreBoundedByExperts) {
  TestHeader header;
  header.MakeExperts(4, 5);
  EXPECT_THAT(header.Error(), HasSubstr("expert_used_count is 5, expected 1 to 4"));
  header.MakeExperts(4, 0);
  EXPECT_THAT(header.Error(), HasSubstr("expert_used_count is 0, expected 1 to 4"));
}

TEST(ModelSpecTest, ExpertsOfAllLayersAreBounded) {
  TestHeader header;
  header.MakeExperts(4, 2);
  header.keys["llama.block_count"] = U32(512);
  header.keys["llama.expert_count"] = U32(129);
  EXPECT_THAT(header.Error(), HasSubstr("block_count is 512, with 129 experts in each"));
}

TEST(ModelSpecTest, MissingKeysAndTensorsAreNamed) {
  for (const char* key :
       {"block_count", "embedding_length", "context_length", "feed_forward_length",
        "attention.head_count", "attention.layer_norm_rms_epsilon"}) {
    TestHeader header;
    header.keys.erase(std::string("llama.") + key);
    EXPECT_THAT(header.Error(), HasSubstr(std::string("key llama.") + key + " is missing"));
  }
  for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.2.ffn_up.weight"}) {
    TestHeader header;
    header.tensors.erase(name);
    EXPECT_THAT(header.Error(), HasSubstr(std::string("tensor ") + name + " is missing"));
  }
}

TEST(ModelSpecTest, TensorsThatWouldChangeTheResultAreRefused) {
  for (const char* name :
       {"blk.1.attn_q_norm.weight", "blk.0.ffn_gate_shexp.weight", "blk.0.attn_norm.bias",
        "position_embd.weight", "output.bias", "blk.2.something_new.weight"}) {
    TestHeader header;
    header.tensors[name] = {{32}};
    EXPECT_THAT(header.Error(), HasSubstr(std::string("tensor ") + name + " is not supported"));
  }
}

TEST(ModelSpecTest, KeysThatWouldChangeTheResultAreRefused) {
  for (const char* key : {"llama.expert_group_count", "llama.logit_scale"}) {
    TestHeader header;
    header.keys[key] = F32(2.0);
    EXPECT_THAT(header.Error(), HasSubstr(std::string("key ") + key + " is not supported"));
    for (const double harmless : {0.0, 1.0}) {
      header.keys[key] = F32(harmless);
      EXPECT_TRUE(header.Read().ok()) << key << " " << harmless;
    }
  }
  TestHeader header;
  header.keys["llama.attention.sliding_window"] = U32(1);
  EXPECT_THAT(header.Error(), HasSubstr("sliding_window is not supported"));
}

TEST(ModelSpecTest, HarmlessExtrasPass) {
  TestHeader header;
  header.tensors["blk.0.attn_rot_embd.weight"] = {{4}};
  header.tensors["my.notes"] = {{4}};
  header.keys["llama.rope.scaling.finetuned"] = U32(1);
  header.keys["llama.attention.sliding_window"] = U32(0);
  header.keys["other.logit_scale"] = F32(3);
  EXPECT_TRUE(header.Read().ok()) << header.Error();
}

TEST(ModelSpecTest, NormsMustBeFloats) {
  TestHeader header;
  header.Layer(1, "attn_norm").type = TensorType::kF16;
  EXPECT_TRUE(header.Read().ok()) << header.Error();
  header.Layer(1, "attn_norm").type = TensorType::kF64;
  EXPECT_TRUE(header.Read().ok()) << header.Error();
  header.Layer(1, "attn_norm").type = TensorType::kQ8_0;
  EXPECT_THAT(header.Error(), HasSubstr("has type Q8_0, expected F32, F64, F16 or BF16"));
}

TEST(ModelSpecTest, MatricesAreOfTypesThatCanBeMultiplied) {
  TestHeader header;
  header.Layer(1, "attn_q").type = TensorType::kI8;
  EXPECT_EQ(header.Read().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(header.Error(), HasSubstr("tensor blk.1.attn_q.weight has type I8, expected one of "
                                        "F32, F16, Q4_0,"));
}

TEST(ModelSpecTest, ScalesOfWholeTensorsAreRefused) {
  TestHeader header;
  header.Layer(1, "attn_q", ".scale") = {{1}};
  EXPECT_THAT(header.Error(), HasSubstr("tensor blk.1.attn_q.scale is not supported"));
}

TEST(ModelSpecTest, VocabularyMustAgreeWithTheTokenizer) {
  TestHeader header;
  header.keys["tokenizer.ggml.tokens"] = {GgufType::kString, true,
                                          std::vector<std::string>(99, "x")};
  EXPECT_THAT(header.Error(), HasSubstr("has 100 rows, expected one for each of 99 tokens"));
}

}  // namespace
}  // namespace baton
