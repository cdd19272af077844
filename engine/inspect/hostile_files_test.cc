// Files that are broken, or made to break their reader: every known way in which readers of GGUF
// were crashed, and every contradiction between the parts of a file. Each is a small sound model
// with one thing changed; what must come out is a verdict and one clear sentence.
#include <algorithm>
#include <bit>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/gguf/gguf_writer.h"
#include "engine/inspect/check_model.h"
#include "engine/inspect/inspection.h"
#include "engine/testing/model_maker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using ::testing::HasSubstr;

constexpr int kLayers = 3;
constexpr int kVocabulary = 320;
constexpr uint32_t kArray = 9;
constexpr uint32_t kString = 8;

std::string Little(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

GgufValue Unsigned(GgufType type, uint64_t value) {
  return {type, false, std::vector<uint64_t>{value}};
}
GgufValue U32(uint64_t value) { return Unsigned(GgufType::kU32, value); }
GgufValue F32(double value) { return {GgufType::kF32, false, std::vector<double>{value}}; }
GgufValue Text(std::string text) {
  return {GgufType::kString, false, std::vector<std::string>{std::move(text)}};
}

// A model taken apart, so that one part can be changed.
class Model {
 public:
  Model() {
    ModelOptions options;
    options.layer_count = kLayers;
    options.width = 32;
    options.feed_forward_size = 64;
    options.vocabulary_size = kVocabulary;
    options.type = TensorType::kQ8_0;
    const std::string path = *MakeModel(options, testing::TempDir());
    const GgufFile file = *GgufFile::Read(path);
    for (const auto& [key, value] : file.metadata()) keys[key] = value;
    for (const TensorInfo& tensor : file.tensors()) {
      std::vector<uint8_t> data(tensor.bytes);
      EXPECT_TRUE(file.FileOf(tensor).ReadAt(tensor.offset, data.data(), data.size()).ok());
      tensors.push_back({tensor.name,
                         {tensor.dims.begin(), tensor.dims.begin() + tensor.dim_count},
                         static_cast<uint32_t>(tensor.type),
                         std::nullopt,
                         tensor.bytes,
                         [data](uint64_t, uint64_t, uint8_t* out) {
                           std::copy(data.begin(), data.end(), out);
                           return absl::OkStatus();
                         }});
    }
  }

  GgufTensorEntry& Tensor(const std::string& name) {
    const auto found = std::find_if(tensors.begin(), tensors.end(),
                                    [&](const auto& tensor) { return tensor.name == name; });
    EXPECT_NE(found, tensors.end()) << name;
    return *found;
  }
  void Remove(const std::string& name) {
    std::erase_if(tensors, [&](const auto& tensor) { return tensor.name == name; });
  }
  std::vector<std::string>& Tokens() {
    return std::get<std::vector<std::string>>(keys["tokenizer.ggml.tokens"].elements);
  }
  // A value as bytes, in the place of one that the format could have.
  void SetRaw(const std::string& key, uint32_t type_id, const std::string& bytes) {
    keys.erase(key);
    raw_keys.push_back({key, type_id, bytes});
  }

  // The whole file.
  std::string Bytes() const {
    GgufWriter writer;
    writer.flaws = flaws;
    if (layout_alignment > 0) writer.SetLayoutAlignment(layout_alignment);
    for (const auto& [key, value] : keys) writer.Set(key, value);
    for (const RawKey& raw : raw_keys) writer.SetRaw(raw.key, raw.type_id, raw.bytes);
    for (const GgufTensorEntry& tensor : tensors) writer.AddTensorEntry(tensor);
    std::string bytes = writer.Bytes();
    if (kept_bytes >= 0) bytes.resize(writer.Header().size() + kept_bytes);
    return bytes;
  }

  struct RawKey {
    std::string key;
    uint32_t type_id;
    std::string bytes;
  };
  std::map<std::string, GgufValue> keys;
  std::vector<RawKey> raw_keys;
  std::vector<GgufTensorEntry> tensors;
  GgufFlaws flaws;
  uint64_t layout_alignment = 0;  // 0: the format's
  int64_t kept_bytes = -1;        // of the data; -1: all
};

struct Hostile {
  const char* what;
  std::function<void(Model&)> change;
  Verdict verdict;
  const char* message = "";  // part of the first problem's
};

// -------------------------------------------------------------------------- the header's syntax

const std::vector<Hostile>& HeaderFiles() {
  constexpr Verdict kBroken = Verdict::kBroken;
  static const auto* const files = new std::vector<Hostile>{
      {"sound", [](Model&) {}, Verdict::kSound},
      {"version 2", [](Model& m) { m.flaws.version = 2; }, Verdict::kSound},
      {"old magic", [](Model& m) { m.flaws.magic = "ggml"; }, kBroken, "came before GGUF"},
      {"other magic", [](Model& m) { m.flaws.magic = "FUGG"; }, kBroken, "not a GGUF file"},
      {"version 1", [](Model& m) { m.flaws.version = 1; }, kBroken, "GGUF version 1"},
      {"version 4", [](Model& m) { m.flaws.version = 4; }, kBroken, "version 4 is not known"},
      {"big-endian", [](Model& m) { m.flaws.version = 0x03000000; }, kBroken, "big-endian"},
      {"2^63 tensors", [](Model& m) { m.flaws.tensor_count = 1ull << 63; }, kBroken,
       "declares 9223372036854775808 tensors"},
      {"2^64 - 1 tensors", [](Model& m) { m.flaws.tensor_count = UINT64_MAX; }, kBroken,
       "declares 18446744073709551615 tensors"},
      {"2^40 tensors", [](Model& m) { m.flaws.tensor_count = 1ull << 40; }, kBroken,
       "declares 1099511627776 tensors"},
      {"a tensor more", [](Model& m) { m.flaws.tensor_count = m.tensors.size() + 1; }, kBroken,
       "tensor 31 of 31"},
      {"a tensor less", [](Model& m) { m.flaws.tensor_count = m.tensors.size() - 1; }, kBroken,
       "is the tensor count of"},
      {"2^60 keys", [](Model& m) { m.flaws.metadata_count = 1ull << 60; }, kBroken,
       "declares 1152921504606846976 metadata entries"},
      {"a key more", [](Model& m) { m.flaws.metadata_count = m.keys.size() + 1; }, kBroken,
       "inside its name"},
      {"empty key", [](Model& m) { m.keys[""] = U32(1); }, kBroken, "its name is empty"},
      {"key with NUL", [](Model& m) { m.keys[std::string("x\0y", 3)] = U32(1); }, kBroken,
       "contains a control character"},
      {"string of 2^63", [](Model& m) { m.SetRaw("x", kString, Little(1ull << 63, 8)); }, kBroken,
       "9223372036854775808 bytes were expected"},
      {"string of 2^64 - 1", [](Model& m) { m.SetRaw("x", kString, Little(UINT64_MAX, 8)); },
       kBroken, "18446744073709551615 bytes were expected"},
      {"string of 1.5 GB", [](Model& m) { m.SetRaw("x", kString, Little(1500000000, 8)); }, kBroken,
       "1500000000 bytes were expected"},
      {"array of 2^61 u32",
       [](Model& m) { m.SetRaw("x", kArray, Little(4, 4) + Little(1ull << 61, 8)); }, kBroken,
       "an array of 2305843009213693952 u32"},
      {"array of 2^63 bytes",
       [](Model& m) { m.SetRaw("x", kArray, Little(0, 4) + Little(1ull << 63, 8)); }, kBroken,
       "an array of 9223372036854775808 u8"},
      {"array with a string of 2^63",
       [](Model& m) {
         m.SetRaw("x", kArray, Little(kString, 4) + Little(1, 8) + Little(1ull << 63, 8));
       },
       kBroken, "9223372036854775808 bytes were expected"},
      {"arrays 5000 deep",
       [](Model& m) {
         std::string bytes;
         for (int i = 0; i < 5000; ++i) bytes += Little(kArray, 4) + Little(1, 8);
         m.SetRaw("x", kArray, bytes);
       },
       kBroken, "an array of arrays"},
      {"array of type 13", [](Model& m) { m.SetRaw("x", kArray, Little(13, 4) + Little(1, 8)); },
       kBroken, "value type 13 is not defined"},
      {"value of type 13", [](Model& m) { m.SetRaw("x", 13, ""); }, kBroken,
       "value type 13 is not defined"},
      {"bool of 7", [](Model& m) { m.SetRaw("x", 7, "\7"); }, kBroken, "a bool of 7"},
      {"a key twice",
       [](Model& m) {
         m.raw_keys.push_back({"llama.block_count", 4, Little(2, 4)});
       },
       kBroken, "the key occurs twice"},
      {"alignment 0", [](Model& m) { m.keys["general.alignment"] = U32(0); }, kBroken,
       "general.alignment is 0"},
      {"alignment 1", [](Model& m) { m.keys["general.alignment"] = U32(1); }, kBroken,
       "general.alignment is 1"},
      {"alignment 3", [](Model& m) { m.keys["general.alignment"] = U32(3); }, kBroken,
       "general.alignment is 3"},
      {"alignment 2^31", [](Model& m) { m.keys["general.alignment"] = U32(1ull << 31); }, kBroken,
       "general.alignment is 2147483648"},
      {"alignment of another type",
       [](Model& m) {
         m.keys["general.alignment"] = {GgufType::kI32, false, std::vector<int64_t>{32}};
       },
       kBroken, "general.alignment is of type i32, expected a u32"},
      {"alignment as text", [](Model& m) { m.keys["general.alignment"] = Text("32"); }, kBroken,
       "general.alignment is of type string"},
      {"alignment that the data has not", [](Model& m) { m.keys["general.alignment"] = U32(64); },
       kBroken},
      {"alignment 8",
       [](Model& m) {
         m.keys["general.alignment"] = U32(8);
         m.layout_alignment = 8;
       },
       Verdict::kSound},
  };
  return *files;
}

// ------------------------------------------------------------------------ the table and the data

const std::vector<Hostile>& TensorFiles() {
  constexpr Verdict kBroken = Verdict::kBroken;
  constexpr char kUp[] = "blk.1.ffn_up.weight";
  static const auto* const files = new std::vector<Hostile>{
      {"5 dimensions",
       [=](Model& m) {
         m.Tensor(kUp).dims = {32, 64, 1, 1, 1};
       },
       kBroken, "5 dimensions, expected 1 to 4"},
      {"no dimensions", [=](Model& m) { m.Tensor(kUp).dims = {}; }, kBroken,
       "0 dimensions, expected 1 to 4"},
      {"dimensions of 1 at the end",
       [=](Model& m) {
         m.Tensor(kUp).dims = {32, 64, 1, 1};
       },
       Verdict::kSound},
      {"a dimension of 0",
       [=](Model& m) {
         m.Tensor(kUp).dims = {32, 0};
       },
       kBroken, "dimension 2 of 2 is 0"},
      {"elements wrap",
       [=](Model& m) {
         m.Tensor(kUp).dims = {1ull << 32, 1ull << 32};
       },
       kBroken, "multiply to more than"},
      {"elements wrap to none",
       [=](Model& m) {
         m.Tensor(kUp).dims = {1ull << 32, 1ull << 32, 1, 1};
         m.Tensor(kUp).type_id = 0;
       },
       kBroken, "multiply to more than"},
      {"bytes wrap",
       [=](Model& m) {
         m.Tensor(kUp).dims = {1ull << 61};
         m.Tensor(kUp).type_id = 28;
       },
       kBroken, "more than any file holds"},
      {"a terabyte",
       [=](Model& m) {
         m.Tensor(kUp).dims = {1 << 20, 1 << 20};
       },
       kBroken, "need 1,168,231,104,512 bytes"},
      {"half a block",
       [=](Model& m) {
         m.Tensor(kUp).dims = {48, 32};
       },
       kBroken, "a row of 48 weights is not a multiple of the 32"},
      {"removed type", [=](Model& m) { m.Tensor(kUp).type_id = 31; }, kBroken,
       "type Q4_0_4_4 (id 31), which was removed"},
      {"type of the future", [=](Model& m) { m.Tensor(kUp).type_id = 43; }, Verdict::kUnknown,
       "type id 43 is not one of the format as it is known here"},
      {"type 2^31 - 1", [=](Model& m) { m.Tensor(kUp).type_id = 2147483647; }, Verdict::kUnknown,
       "type id 2147483647"},
      {"integers for weights",
       [=](Model& m) {
         m.Tensor(kUp).type_id = static_cast<uint32_t>(TensorType::kI8);
         m.Tensor(kUp).bytes = 32 * 64;
       },
       Verdict::kUnknown, "has type I8, expected one of F32,"},
      {"offset 2^63", [=](Model& m) { m.Tensor(kUp).offset = 1ull << 63; }, kBroken,
       "is beyond the end of any file"},
      {"offset beyond the file", [=](Model& m) { m.Tensor(kUp).offset = 1 << 20; }, kBroken,
       "the file gives 0: it ends at byte"},
      {"offset off alignment", [=](Model& m) { m.Tensor(kUp).offset = 1; }, kBroken,
       "offset 1 is not a multiple of the alignment, 32"},
      {"two tensors in one place", [=](Model& m) { m.Tensor(kUp).offset = 0; }, kBroken,
       "they overlap"},
      {"a tensor twice", [=](Model& m) { m.tensors.push_back(m.Tensor(kUp)); }, kBroken,
       "the name occurs twice"},
      {"a tensor without a name", [=](Model& m) { m.Tensor(kUp).name = ""; }, kBroken,
       "its name is empty"},
      {"a long name", [=](Model& m) { m.Tensor(kUp).name = std::string(65, 'x'); }, kBroken,
       "has 65 bytes, at most 64"},
      {"a tensor is missing", [=](Model& m) { m.Remove(kUp); }, kBroken,
       "tensor blk.1.ffn_up.weight is missing"},
      {"the last norm is missing", [](Model& m) { m.Remove("output_norm.weight"); }, kBroken,
       "tensor output_norm.weight is missing"},
      {"an unknown tensor",
       [=](Model& m) {
         m.tensors.push_back({"blk.0.mystery.weight", {8}, 0, std::nullopt, 32, nullptr});
       },
       Verdict::kUnknown, "tensor blk.0.mystery.weight is not supported"},
      {"no tensors", [](Model& m) { m.tensors.clear(); }, Verdict::kSound},
      {"a byte is missing",
       [](Model& m) {
         m.flaws.final_padding = false;
         m.kept_bytes = 99;
       },
       kBroken, "token_embd.weight is declared Q8_0"},
      {"no data", [](Model& m) { m.kept_bytes = 0; }, kBroken, "the file gives 0: it ends at byte"},
      {"blocks of 16 bytes",
       [](Model& m) {
         for (GgufTensorEntry& tensor : m.tensors) {
           if (tensor.type_id != static_cast<uint32_t>(TensorType::kQ8_0)) continue;
           tensor.type_id = static_cast<uint32_t>(TensorType::kQ4_0);
           tensor.bytes = tensor.bytes / 34 * 16;
           tensor.fill = nullptr;
         }
       },
       kBroken, "exactly 16 per 32: blocks without their f16 scale"},
  };
  return *files;
}

// ------------------------------------------------------------------------- hyper-parameters

const std::vector<Hostile>& KeyFiles() {
  constexpr Verdict kBroken = Verdict::kBroken;
  const auto set = [](const char* key, GgufValue value) {
    return [=](Model& m) { m.keys[absl::StrCat("llama.", key)] = value; };
  };
  const auto heads = [](uint64_t count) {
    return GgufValue{GgufType::kU32, true, std::vector<uint64_t>(count, 4)};
  };
  const auto experts = [](uint64_t count, uint64_t used) {
    return [=](Model& m) {
      m.keys["llama.expert_count"] = U32(count);
      m.keys["llama.expert_used_count"] = U32(used);
    };
  };
  static const auto* const files = new std::vector<Hostile>{
      {"no architecture", [](Model& m) { m.keys.erase("general.architecture"); }, kBroken,
       "does not name its architecture"},
      {"another architecture", [](Model& m) { m.keys["general.architecture"] = Text("nosuch"); },
       Verdict::kUnknown, "architecture \"nosuch\" is not supported"},
      {"no layers", set("block_count", U32(0)), kBroken, "llama.block_count is 0"},
      {"a layer more", set("block_count", U32(kLayers + 1)), kBroken,
       "tensor blk.3.attn_norm.weight is missing"},
      {"a layer less", set("block_count", U32(kLayers - 1)), kBroken,
       "is of layer 2, but llama.block_count is 2"},
      {"513 layers", set("block_count", U32(513)), kBroken, "llama.block_count is 513"},
      {"2^31 layers", set("block_count", U32(1ull << 31)), kBroken, "block_count is 2147483648"},
      {"2^32 - 1 layers", set("block_count", U32(UINT32_MAX)), kBroken,
       "block_count is 4294967295"},
      {"layers as u64", set("block_count", Unsigned(GgufType::kU64, kLayers)), Verdict::kSound},
      {"layers as f32", set("block_count", F32(kLayers)), kBroken,
       "'llama.block_count' is of type f32"},
      {"layers as an array", set("block_count", heads(1)), kBroken,
       "'llama.block_count' is an array of u32"},
      {"no heads", set("attention.head_count", U32(0)), kBroken, "head_count is 0"},
      {"3 heads", set("attention.head_count", U32(3)), kBroken,
       "does not divide attention.head_count, 3"},
      {"64 heads", set("attention.head_count", U32(64)), kBroken, "head_count is 64"},
      {"heads of 2 layers", set("attention.head_count", heads(2)), kBroken,
       "head_count has 2 entries, expected one for each of 3 layers"},
      {"no KV heads", set("attention.head_count_kv", U32(0)), kBroken, "head_count_kv is 0"},
      {"3 KV heads", set("attention.head_count_kv", U32(3)), kBroken, "head_count_kv is 3"},
      {"8 KV heads", set("attention.head_count_kv", U32(8)), kBroken, "head_count_kv is 8"},
      {"width 0", set("embedding_length", U32(0)), kBroken, "embedding_length is 0"},
      {"width 64", set("embedding_length", U32(64)), kBroken,
       "tensor token_embd.weight has shape [32, 320], expected [64, 320]"},
      {"width 2^31", set("embedding_length", U32(1ull << 31)), kBroken,
       "embedding_length is 2147483648"},
      {"feed-forward 65", set("feed_forward_length", U32(65)), kBroken,
       "tensor blk.0.ffn_gate.weight has shape [32, 64], expected [32, 65]"},
      {"feed-forward 2^31", set("feed_forward_length", U32(1ull << 31)), kBroken,
       "feed_forward_length is 2147483648"},
      {"context 2^31", set("context_length", U32(1ull << 31)), Verdict::kSound},
      {"7 dimensions turn", set("rope.dimension_count", U32(7)), kBroken, "dimension_count is 7"},
      {"16 dimensions turn", set("rope.dimension_count", U32(16)), kBroken,
       "dimension_count is 16"},
      {"negative rope base", set("rope.freq_base", F32(-1)), kBroken, "freq_base is -1"},
      {"rope factor NaN",
       [=](Model& m) {
         set("rope.scaling.type", Text("linear"))(m);
         set("rope.scaling.factor", F32(std::numeric_limits<double>::quiet_NaN()))(m);
       },
       kBroken, "rope.scaling.factor is nan"},
      {"more experts used than there are", experts(4, 5), kBroken, "expert_used_count is 5"},
      {"no expert used", experts(4, 0), kBroken, "expert_used_count is 0"},
      {"experts without tensors", experts(1024, 2), kBroken, "ffn_gate_inp.weight is missing"},
      {"a vocabulary that the model has not", set("vocab_size", U32(1000)), Verdict::kSound},
  };
  return *files;
}

// ------------------------------------------------------------------------- the tokenizer

const std::vector<Hostile>& TokenizerFiles() {
  constexpr Verdict kBroken = Verdict::kBroken;
  const auto set = [](const char* key, GgufValue value) {
    return [=](Model& m) { m.keys[absl::StrCat("tokenizer.ggml.", key)] = value; };
  };
  const auto integers = [](size_t count, int64_t value) {
    return GgufValue{GgufType::kI32, true, std::vector<int64_t>(count, value)};
  };
  const auto floats = [](size_t count, double value) {
    return GgufValue{GgufType::kF32, true, std::vector<double>(count, value)};
  };
  const auto merges = [](const char* merge) {
    return [=](Model& m) {
      m.keys["tokenizer.ggml.model"] = Text("gpt2");
      if (*merge == 0) return;
      m.keys["tokenizer.ggml.merges"] = {GgufType::kString, true, std::vector<std::string>{merge}};
    };
  };
  static const auto* const files = new std::vector<Hostile>{
      {"no model", [](Model& m) { m.keys.erase("tokenizer.ggml.model"); }, kBroken,
       "the file has no tokenizer.ggml.model"},
      {"an unknown model", set("model", Text("xyz")), Verdict::kUnknown,
       "tokenizer.ggml.model is 'xyz'"},
      {"no tokens", [](Model& m) { m.keys.erase("tokenizer.ggml.tokens"); }, kBroken,
       "the file has no tokenizer.ggml.tokens"},
      {"empty list of tokens", [](Model& m) { m.Tokens().clear(); }, kBroken,
       "expected one for each of 0 tokens"},
      {"one token", [](Model& m) { m.Tokens().resize(1); }, kBroken,
       "expected one for each of 1 tokens"},
      {"tokens as text", set("tokens", Text("a")), kBroken, "'tokenizer.ggml.tokens' is of type"},
      {"few types", set("token_type", integers(300, 1)), kBroken, "token_type has 300 entries"},
      {"many types", set("token_type", integers(400, 1)), kBroken, "token_type has 400 entries"},
      {"one type", set("token_type", U32(1)), kBroken, "token_type has 1 entries"},
      {"type 99", set("token_type", integers(kVocabulary, 99)), kBroken, "token_type[0] is 99"},
      {"types as floats", set("token_type", floats(kVocabulary, 1)), kBroken,
       "'tokenizer.ggml.token_type' is an array of f32"},
      {"few scores", set("scores", floats(300, 0)), kBroken, "scores has 300 entries"},
      {"scores of one byte",
       set("scores", {GgufType::kU8, true, std::vector<uint64_t>(kVocabulary)}), kBroken,
       "'tokenizer.ggml.scores' is an array of u8"},
      {"scores NaN", set("scores", floats(kVocabulary, std::numeric_limits<double>::quiet_NaN())),
       kBroken, "scores[0] is not a number"},
      {"an empty token", [](Model& m) { m.Tokens()[300] = ""; }, Verdict::kSound},
      {"a token twice", [](Model& m) { m.Tokens()[300] = m.Tokens()[301]; }, kBroken,
       "tokens 300 and 301 are both"},
      {"a byte token of -1", [](Model& m) { m.Tokens()[3] = "<0x-1>"; }, kBroken, "<0x-1>"},
      {"a byte token of three digits", [](Model& m) { m.Tokens()[3] = "<0x100>"; }, kBroken,
       "<0x100>"},
      {"BOS outside", set("bos_token_id", U32(100000)), kBroken, "bos_token_id is 100000"},
      {"EOS outside", set("eos_token_id", U32(UINT32_MAX)), kBroken, "eos_token_id is"},
      {"unknown token outside", set("unknown_token_id", U32(kVocabulary)), kBroken,
       "unknown_token_id is 320"},
      {"BPE without merges", merges(""), kBroken, "the file has no tokenizer.ggml.merges"},
      {"merges of one part", merges("ab"), kBroken, "merges[0] is 'ab', expected two parts"},
      {"an unknown pre-tokenizer",
       [=](Model& m) {
         merges("e t")(m);
         set("pre", Text("nosuch"))(m);
       },
       Verdict::kUnknown, "nosuch"},
  };
  return *files;
}

std::string FirstProblem(const Inspection& inspection) {
  return std::string(inspection.problems.FirstError().message());
}

void Check(const std::vector<Hostile>& files) {
  const std::string path = testing::TempDir() + "/hostile.gguf";
  for (const Hostile& hostile : files) {
    SCOPED_TRACE(hostile.what);
    Model model;
    hostile.change(model);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << model.Bytes();
    const Inspection inspection = Inspect(path);
    EXPECT_EQ(inspection.verdict(), hostile.verdict) << FirstProblem(inspection);
    EXPECT_THAT(FirstProblem(inspection), HasSubstr(hostile.message));
    // What inspection finds, a load refuses; a tokenizer that is unknown can wait.
    const absl::StatusOr<GgufFile> file = GgufFile::Read(path);
    const bool loads = file.ok() && CheckModel(*file).ok();
    const bool is_model = !model.tensors.empty();
    const bool is_readable =
        hostile.verdict == Verdict::kSound ||
        (hostile.verdict == Verdict::kUnknown && inspection.problems.Has(ProblemKind::kTokenizer));
    EXPECT_EQ(loads, is_readable && is_model);
  }
}

TEST(HostileFilesTest, Headers) { Check(HeaderFiles()); }
TEST(HostileFilesTest, Tensors) { Check(TensorFiles()); }
TEST(HostileFilesTest, Hyperparameters) { Check(KeyFiles()); }
TEST(HostileFilesTest, Tokenizers) { Check(TokenizerFiles()); }

// A header that ends anywhere is told as such, and nothing is read beyond it.
TEST(HostileFilesTest, CutAnywhere) {
  const std::string path = testing::TempDir() + "/cut.gguf";
  const std::string whole = Model().Bytes();
  for (size_t size = 0; size < whole.size(); size += 499) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << whole.substr(0, size);
    ASSERT_EQ(Inspect(path).verdict(), Verdict::kBroken) << size;
  }
}

// Whatever a flipped bit does, it is a verdict.
TEST(HostileFilesTest, FlippedBits) {
  const std::string path = testing::TempDir() + "/flipped.gguf";
  const std::string whole = Model().Bytes();
  for (size_t at = 0; at < 12000; at += 29) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    const Inspection inspection = Inspect(path);
    if (inspection.verdict() == Verdict::kSound) continue;
    ASSERT_FALSE(FirstProblem(inspection).empty()) << at;
  }
}

}  // namespace
}  // namespace baton
