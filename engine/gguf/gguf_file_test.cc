#include "engine/gguf/gguf_file.h"

#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/gguf/gguf_parser.h"
#include "engine/gguf/gguf_writer.h"
#include "engine/testing/model_maker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string WriteBytes(const std::string& name, const std::string& bytes) {
  const std::string path = testing::TempDir() + "/" + name;
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

absl::StatusOr<GgufFile> ReadBytes(const std::string& bytes) {
  return GgufFile::Read(WriteBytes("test.gguf", bytes));
}

absl::StatusOr<GgufFile> ReadBack(const GgufWriter& writer) { return ReadBytes(writer.Bytes()); }

std::vector<uint8_t> Zeros(size_t size) { return std::vector<uint8_t>(size); }

// Two keys and three tensors, of which the second ends off alignment.
GgufWriter SmallFile() {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetStrings("tokenizer.ggml.tokens", {"<unk>", "", "a"});
  writer.AddTensor("token_embd.weight", TensorType::kQ4_0, {64, 3}, Zeros(108));
  writer.AddTensor("blk.0.attn_norm.weight", TensorType::kF32, {3}, Zeros(12));
  writer.AddTensor("output.weight", TensorType::kF16, {5, 2, 2, 1}, Zeros(40));
  return writer;
}

// ------------------------------------------------------------------------------ sound files

TEST(GgufFileTest, ReadsTensorTable) {
  const GgufWriter writer = SmallFile();
  const uint64_t data = writer.Header().size();
  const absl::StatusOr<GgufFile> file = ReadBack(writer);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->alignment(), 32u);
  EXPECT_EQ(file->data_offset(), data);
  ASSERT_EQ(file->tensors().size(), 3u);
  const TensorInfo& output = file->tensors()[2];
  EXPECT_EQ(output.name, "output.weight");
  EXPECT_EQ(output.type, TensorType::kF16);
  EXPECT_EQ(output.dim_count, 4);
  EXPECT_EQ(output.row_elements(), 5u);
  EXPECT_EQ(output.row_count(), 4u);
  EXPECT_EQ(output.elements(), 20u);
  EXPECT_EQ(output.bytes, 40u);
  EXPECT_EQ(output.offset, data + 128 + 32);
  EXPECT_EQ(output.ShapeText(), "5 x 2 x 2 x 1");
  EXPECT_EQ(*file->Architecture(), "llama");
}

TEST(GgufFileTest, FindsTensorsWithAndWithoutSuffix) {
  GgufWriter writer = SmallFile();
  writer.AddTensor("bare", TensorType::kF32, {1}, Zeros(4));
  writer.AddTensor("blk.0.attn_q.bias", TensorType::kF32, {1}, Zeros(4));
  const absl::StatusOr<GgufFile> file = ReadBack(writer);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->FindTensor("token_embd"), &file->tensors()[0]);
  EXPECT_EQ(file->FindTensor("token_embd.weight"), &file->tensors()[0]);
  EXPECT_EQ(file->FindTensor("bare"), &file->tensors()[3]);
  EXPECT_EQ(file->FindTensor("bare.weight"), &file->tensors()[3]);
  EXPECT_EQ(file->FindTensor("blk.0.attn_q.bias"), &file->tensors()[4]);
  EXPECT_EQ(file->FindTensor("blk.0.attn_q"), nullptr);
  EXPECT_EQ(file->FindTensor(""), nullptr);
}

TEST(GgufFileTest, ReadsEveryMetadataType) {
  using U = std::vector<uint64_t>;
  using I = std::vector<int64_t>;
  using F = std::vector<double>;
  const std::vector<GgufValue> values = {
      {GgufType::kU8, false, U{255}},
      {GgufType::kI8, false, I{-128}},
      {GgufType::kU16, false, U{65535}},
      {GgufType::kI16, false, I{-32768}},
      {GgufType::kU32, false, U{4294967295u}},
      {GgufType::kI32, false, I{-2147483648ll}},
      {GgufType::kF32, false, F{0.1f}},
      {GgufType::kBool, false, U{1}},
      {GgufType::kString, false, std::vector<std::string>{std::string("a\0b", 3)}},
      {GgufType::kU64, false, U{UINT64_MAX}},
      {GgufType::kI64, false, I{INT64_MIN}},
      {GgufType::kF64, false, F{0.1}},
      {GgufType::kI16, true, I{-1, 0, 1}},
      {GgufType::kF64, true, F{1e300, -0.0}},
      {GgufType::kBool, true, U{0, 1, 1}},
      {GgufType::kString, true, std::vector<std::string>{"", "x"}},
      {GgufType::kU8, true, U{}},
  };
  GgufWriter writer;
  for (size_t i = 0; i < values.size(); ++i) writer.Set(absl::StrCat("key.", i), values[i]);
  const absl::StatusOr<GgufFile> file = ReadBack(writer);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->metadata().size(), values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const GgufValue* value = file->FindValue(absl::StrCat("key.", i));
    ASSERT_NE(value, nullptr) << i;
    EXPECT_EQ(value->type, values[i].type) << i;
    EXPECT_EQ(value->is_array, values[i].is_array) << i;
    EXPECT_EQ(value->elements, values[i].elements) << i;
    EXPECT_EQ(value->size(), values[i].size()) << i;
  }
}

TEST(GgufFileTest, ReadsVersion2) {
  GgufWriter writer = SmallFile();
  writer.flaws.version = 2;
  const absl::StatusOr<GgufFile> file = ReadBack(writer);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->version(), 2u);
}

TEST(GgufFileTest, HonoursAlignment) {
  for (const uint32_t alignment : {8u, 64u, 4096u}) {
    GgufWriter writer;
    writer.SetAlignment(alignment);
    writer.AddTensor("a", TensorType::kF32, {1}, Zeros(4));
    writer.AddTensor("b", TensorType::kF32, {1}, Zeros(4));
    const absl::StatusOr<GgufFile> file = ReadBack(writer);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->alignment(), alignment);
    EXPECT_EQ(file->data_offset() % alignment, 0u);
    EXPECT_EQ(file->tensors()[1].offset, file->data_offset() + alignment);
  }
}

TEST(GgufFileTest, DataMayEndWithoutPaddingOrWithMoreBytes) {
  GgufWriter writer = SmallFile();
  writer.flaws.final_padding = false;
  EXPECT_TRUE(ReadBack(writer).ok());
  EXPECT_TRUE(ReadBytes(writer.Bytes() + "garbage").ok());
}

TEST(GgufFileTest, TensorsMayLieInAnyOrder) {
  GgufWriter writer;
  writer.AddTensorEntry({"a", {8}, 0, 32, 32, nullptr});
  writer.AddTensorEntry({"b", {8}, 0, 0, 32, nullptr});
  EXPECT_TRUE(ReadBack(writer).ok());
}

TEST(GgufFileTest, ListsTensorsThatNothingMultipliesWith) {
  GgufWriter writer;
  writer.AddTensor("positions", TensorType::kI32, {7}, Zeros(28));
  const absl::StatusOr<GgufFile> file = ReadBack(writer);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors()[0].bytes, 28u);
}

TEST(GgufFileTest, VocabularyAloneIsSound) {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  const absl::StatusOr<GgufFile> file = ReadBack(writer);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->tensors().empty());
  EXPECT_TRUE(file->ComputeIdentity().ok());
}

TEST(GgufFileTest, TinyLlamaIsRecognisedWhole) {
  ModelOptions options = TinyLlamaShape(TensorType::kQ4_0);
  options.fill_tensors = false;
  const std::string path = testing::TempDir() + "/tinyllama.gguf";
  ASSERT_TRUE(WriteModel(options, path).ok());
  const absl::StatusOr<GgufFile> file = GgufFile::Read(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors().size(), 201u);
  EXPECT_EQ(*file->GetU32("llama.block_count"), 22u);
  EXPECT_EQ(file->FindTensor("token_embd")->bytes, 32000u * 2048 / 32 * 18);
  EXPECT_EQ(file->FindTensor("output")->bytes, 32000u * 2048 / 32 * 18);
  EXPECT_EQ(file->FindTensor("output_norm")->bytes, 2048u * 4);
  uint64_t layer_bytes = 0;
  for (const char* name : {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm",
                           "ffn_gate", "ffn_up", "ffn_down"}) {
    for (int layer = 0; layer < 22; ++layer) {
      const TensorInfo* tensor = file->FindTensor(absl::StrCat("blk.", layer, ".", name));
      ASSERT_NE(tensor, nullptr) << layer << name;
      layer_bytes += tensor->bytes;
    }
  }
  // 2 x 2048 x 2048 + 2 x 2048 x 256 + 3 x 2048 x 5632 weights at 18 bytes per 32, two norms.
  EXPECT_EQ(layer_bytes, 22u * (44040192u / 32 * 18 + 2 * 2048 * 4));
  // The header alone, and at most a page beyond it.
  EXPECT_LT(file->file()->bytes_read(), file->data_offset() + 4096);
}

// ------------------------------------------------------------------------------ typed access

class GgufAccessTest : public testing::Test {
 protected:
  void SetUp() override {
    GgufWriter writer;
    writer.SetU32("u32", 7);
    writer.Set("u8", {GgufType::kU8, false, std::vector<uint64_t>{8}});
    writer.Set("u64", {GgufType::kU64, false, std::vector<uint64_t>{1ull << 32}});
    writer.Set("i32", {GgufType::kI32, false, std::vector<int64_t>{9}});
    writer.Set("negative", {GgufType::kI32, false, std::vector<int64_t>{-9}});
    writer.SetF32("f32", 0.5f);
    writer.Set("f64", {GgufType::kF64, false, std::vector<double>{0.1}});
    writer.Set("huge", {GgufType::kF64, false, std::vector<double>{1e300}});
    writer.SetF32("nan", std::numeric_limits<float>::quiet_NaN());
    writer.SetBool("bool", true);
    writer.SetString("string", "text");
    writer.SetStrings("strings", {"a", "b"});
    writer.SetI32s("i32s", {-1, 2});
    writer.SetF32s("f32s", {1.5f, -2.0f});
    writer.Set("u64s", {GgufType::kU64, true, std::vector<uint64_t>{UINT64_MAX}});
    absl::StatusOr<GgufFile> file = ReadBack(writer);
    ASSERT_TRUE(file.ok()) << file.status();
    file_.emplace(*std::move(file));
  }
  std::optional<GgufFile> file_;
};

TEST_F(GgufAccessTest, Integers) {
  EXPECT_EQ(*file_->GetU32("u32"), 7u);
  EXPECT_EQ(*file_->GetU32("u8"), 8u);
  EXPECT_EQ(*file_->GetU32("i32"), 9u);
  EXPECT_EQ(*file_->GetU32("absent"), std::nullopt);
  EXPECT_THAT(std::string(file_->GetU32("u64").status().message()),
              AllOf(HasSubstr("'u64' is 4294967296"), HasSubstr("expected an integer from 0 to")));
  EXPECT_THAT(std::string(file_->GetU32("negative").status().message()),
              HasSubstr("'negative' is -9"));
  for (const char* key : {"f32", "bool", "string", "i32s"}) {
    EXPECT_EQ(file_->GetU32(key).status().code(), absl::StatusCode::kInvalidArgument) << key;
  }
  EXPECT_THAT(std::string(file_->GetU32("i32s").status().message()),
              HasSubstr("'i32s' is an array of i32"));
  EXPECT_THAT(**file_->GetIntegers("i32s"), ElementsAre(-1, 2));
  EXPECT_THAT(**file_->GetIntegers("u8"), ElementsAre(8));
  EXPECT_EQ(*file_->GetIntegers("absent"), std::nullopt);
  EXPECT_FALSE(file_->GetIntegers("u64s").ok());
  EXPECT_FALSE(file_->GetIntegers("f32s").ok());
}

TEST_F(GgufAccessTest, Floats) {
  EXPECT_EQ(*file_->GetF32("f32"), 0.5f);
  EXPECT_EQ(*file_->GetF32("f64"), 0.1f);
  EXPECT_TRUE(std::isnan(**file_->GetF32("nan")));
  EXPECT_EQ(*file_->GetF32("absent"), std::nullopt);
  EXPECT_FALSE(file_->GetF32("huge").ok());
  EXPECT_FALSE(file_->GetF32("u32").ok());
  EXPECT_FALSE(file_->GetF32("f32s").ok());
  EXPECT_THAT(**file_->GetFloats("f32s"), ElementsAre(1.5f, -2.0f));
  EXPECT_THAT(**file_->GetFloats("f32"), ElementsAre(0.5f));
  EXPECT_FALSE(file_->GetFloats("i32s").ok());
}

TEST_F(GgufAccessTest, BoolsAndStrings) {
  EXPECT_EQ(*file_->GetBool("bool"), true);
  EXPECT_EQ(*file_->GetBool("absent"), std::nullopt);
  EXPECT_FALSE(file_->GetBool("u8").ok());
  EXPECT_EQ(*file_->GetString("string"), "text");
  EXPECT_EQ(*file_->GetString("absent"), std::nullopt);
  EXPECT_FALSE(file_->GetString("strings").ok());
  EXPECT_THAT(**file_->GetStrings("strings"), ElementsAre("a", "b"));
  EXPECT_EQ(*file_->GetStrings("absent"), nullptr);
  EXPECT_FALSE(file_->GetStrings("string").ok());
  EXPECT_FALSE(file_->GetStrings("i32s").ok());
  EXPECT_FALSE(file_->Architecture().ok());
}

// ------------------------------------------------------------------------------ broken files

struct BrokenFile {
  const char* what;
  std::function<void(GgufWriter*)> damage;
  absl::StatusCode code;
  const char* message;
};

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kCut = absl::StatusCode::kDataLoss;
constexpr auto kUnsupported = absl::StatusCode::kFailedPrecondition;

// A tensor entry after those of SmallFile(), without room in the data.
GgufTensorEntry Entry(std::string name, std::vector<uint64_t> dims, uint32_t type_id,
                      std::optional<uint64_t> offset = std::nullopt) {
  return {std::move(name), std::move(dims), type_id, offset, 0, nullptr};
}

std::string Number(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

const std::vector<BrokenFile>& BrokenFiles() {
  constexpr uint32_t kString = 8, kArray = 9;
  static const auto* const files = new std::vector<BrokenFile>{
      {"magic", [](GgufWriter* w) { w->flaws.magic = "PK\x03\x04"; }, kInvalid,
       "not a GGUF file: it starts with 'PK\\003\\004'"},
      {"old magic", [](GgufWriter* w) { w->flaws.magic = "ggml"; }, kUnsupported,
       "came before GGUF"},
      {"old magic as a number", [](GgufWriter* w) { w->flaws.magic = "tjgg"; }, kUnsupported,
       "came before GGUF"},
      {"version 0", [](GgufWriter* w) { w->flaws.version = 0; }, kUnsupported,
       "version 0 is not known, expected 2 or 3"},
      {"version 1", [](GgufWriter* w) { w->flaws.version = 1; }, kUnsupported, "GGUF version 1 "},
      {"version 4", [](GgufWriter* w) { w->flaws.version = 4; }, kUnsupported,
       "version 4 is not known"},
      {"big-endian", [](GgufWriter* w) { w->flaws.version = 0x03000000; }, kUnsupported,
       "big-endian"},
      {"tensor count 2^64 - 1", [](GgufWriter* w) { w->flaws.tensor_count = UINT64_MAX; }, kCut,
       "declares 18446744073709551615 tensors"},
      {"tensor count that wraps", [](GgufWriter* w) { w->flaws.tensor_count = 1ull << 59; }, kCut,
       "tensors, but the file ends"},
      {"metadata count 2^63", [](GgufWriter* w) { w->flaws.metadata_count = 1ull << 63; }, kCut,
       "declares 9223372036854775808 metadata entries"},
      {"a tensor too many", [](GgufWriter* w) { w->flaws.tensor_count = 4; }, kInvalid,
       "tensor 4 of 4: its name is empty"},
      {"a tensor too few", [](GgufWriter* w) { w->flaws.tensor_count = 2; }, kInvalid,
       "is the tensor count of 2 right?"},
      {"dirty padding", [](GgufWriter* w) { w->flaws.padding_byte = 7; }, kInvalid,
       "between them is 7, expected 0"},
      {"empty key", [](GgufWriter* w) { w->SetU32("", 1); }, kInvalid,
       "metadata entry 3 of 3: its name is empty"},
      {"key with NUL", [](GgufWriter* w) { w->SetU32(absl::string_view("a\0b", 3), 1); }, kInvalid,
       "'a\\000b' contains a control character"},
      {"long key", [](GgufWriter* w) { w->SetU32(std::string(65536, 'k'), 1); }, kInvalid,
       "has 65536 bytes, at most 65535 are allowed"},
      {"same key twice", [](GgufWriter* w) { w->SetU32("general.architecture", 1); }, kInvalid,
       "'general.architecture': the key occurs twice"},
      {"value type 13", [](GgufWriter* w) { w->SetRaw("k", 13, "12345678"); }, kInvalid,
       "'k': value type 13 is not defined, expected 0 to 12"},
      {"element type 13",
       [](GgufWriter* w) { w->SetRaw("k", kArray, Number(13, 4) + Number(1, 8)); }, kInvalid,
       "value type 13 is not defined"},
      {"nested array",
       [](GgufWriter* w) { w->SetRaw("k", kArray, Number(kArray, 4) + Number(0, 8)); }, kInvalid,
       "'k': an array of arrays"},
      {"array of 2^61 u64",
       [](GgufWriter* w) { w->SetRaw("k", kArray, Number(10, 4) + Number(1ull << 61, 8)); }, kCut,
       "an array of 2305843009213693952 u64"},
      {"array of 2^61 strings",
       [](GgufWriter* w) { w->SetRaw("k", kArray, Number(kString, 4) + Number(1ull << 61, 8)); },
       kCut, "an array of 2305843009213693952 string"},
      {"string of 2^64 - 1 bytes",
       [](GgufWriter* w) { w->SetRaw("k", kString, Number(UINT64_MAX, 8)); }, kCut,
       "18446744073709551615 bytes were expected"},
      {"string in an array of 2^63 bytes",
       [](GgufWriter* w) {
         w->SetRaw("k", kArray, Number(kString, 4) + Number(1, 8) + Number(1ull << 63, 8));
       },
       kCut, "9223372036854775808 bytes were expected"},
      {"bool of 7", [](GgufWriter* w) { w->SetRaw("k", 7, "\x07"); }, kInvalid, "a bool of 7"},
      {"alignment 0", [](GgufWriter* w) { w->SetU32("general.alignment", 0); }, kInvalid,
       "general.alignment is 0, expected a power of two from 8"},
      {"alignment 24", [](GgufWriter* w) { w->SetU32("general.alignment", 24); }, kInvalid,
       "general.alignment is 24"},
      {"alignment 4", [](GgufWriter* w) { w->SetU32("general.alignment", 4); }, kInvalid,
       "general.alignment is 4,"},
      {"alignment 2^31", [](GgufWriter* w) { w->SetU32("general.alignment", 1u << 31); }, kInvalid,
       "general.alignment is 2147483648"},
      {"alignment as text", [](GgufWriter* w) { w->SetString("general.alignment", "32"); },
       kInvalid, "general.alignment is of type string, expected a u32"},
      {"alignment as array",
       [](GgufWriter* w) {
         w->Set("general.alignment", {GgufType::kU32, true, std::vector<uint64_t>{}});
       },
       kInvalid, "general.alignment is an array, expected a u32"},
      {"alignment that the data ignores",
       [](GgufWriter* w) {
         w->SetU32("general.alignment", 256);
         w->SetLayoutAlignment(32);
       },
       kInvalid, "offset 128 is not a multiple of the alignment, 256"},
      {"sharded",
       [](GgufWriter* w) {
         w->Set("split.no", {GgufType::kU16, false, std::vector<uint64_t>{1}});
         w->Set("split.count", {GgufType::kU16, false, std::vector<uint64_t>{3}});
       },
       kInvalid, "it is part 2 of 3 by its split.no, but its name does not end as"},
      {"no name", [](GgufWriter* w) { w->AddTensorEntry(Entry("", {1}, 0)); }, kInvalid,
       "tensor 4 of 4: its name is empty"},
      {"long name", [](GgufWriter* w) { w->AddTensorEntry(Entry(std::string(65, 'n'), {1}, 0)); },
       kInvalid, "has 65 bytes, at most 64 are allowed"},
      {"same name twice", [](GgufWriter* w) { w->AddTensorEntry(Entry("output.weight", {1}, 0)); },
       kInvalid, "'output.weight': the name occurs twice"},
      {"no dimension", [](GgufWriter* w) { w->AddTensorEntry(Entry("t", {}, 0)); }, kInvalid,
       "'t': 0 dimensions, expected 1 to 4"},
      {"five dimensions",
       [](GgufWriter* w) {
         w->AddTensorEntry(Entry("t", {1, 1, 1, 1, 1}, 0));
       },
       kInvalid, "'t': 5 dimensions, expected 1 to 4"},
      {"dimension 0",
       [](GgufWriter* w) {
         w->AddTensorEntry(Entry("t", {32, 0}, 0));
       },
       kInvalid, "dimension 2 of 2 is 0"},
      {"product wraps to 0",
       [](GgufWriter* w) {
         w->AddTensorEntry(Entry("t", {1ull << 32, 1ull << 32}, 0));
       },
       kInvalid, "multiply to more than"},
      {"product wraps to little",
       [](GgufWriter* w) {
         w->AddTensorEntry(Entry("t", {(1ull << 63) + 1, 2, 1, 1}, 0));
       },
       kInvalid, "multiply to more than"},
      {"bytes wrap", [](GgufWriter* w) { w->AddTensorEntry(Entry("t", {1ull << 62}, 0)); },
       kInvalid, "more than any file holds"},
      {"half a block", [](GgufWriter* w) { w->AddTensorEntry(Entry("t", {48}, 2)); }, kInvalid,
       "a row of 48 weights is not a multiple of the 32 in a block of type Q4_0"},
      {"removed type", [](GgufWriter* w) { w->AddTensorEntry(Entry("t", {32}, 4)); }, kInvalid,
       "it has type Q4_2 (id 4), which was removed from the format"},
      {"undefined type", [](GgufWriter* w) { w->AddTensorEntry(Entry("t", {32}, 43)); },
       kUnsupported, "type id 43 is not one of the format"},
      {"type -1", [](GgufWriter* w) { w->AddTensorEntry(Entry("t", {32}, UINT32_MAX)); },
       kUnsupported, "type id 4294967295 is not one of the format"},
      {"offset 1", [](GgufWriter* w) { w->AddTensorEntry(Entry("t", {1}, 0, 1)); }, kInvalid,
       "offset 1 is not a multiple of the alignment, 32"},
      {"offset 2^63", [](GgufWriter* w) { w->AddTensorEntry(Entry("t", {1}, 0, 1ull << 63)); },
       kInvalid, "offset 9223372036854775808 is beyond the end of any file"},
      {"offset 2^64 - 32", [](GgufWriter* w) { w->AddTensorEntry(Entry("t", {1}, 0, -32ull)); },
       kInvalid, "is beyond the end of any file"},
      {"offset beyond the file", [](GgufWriter* w) { w->AddTensorEntry(Entry("t", {1}, 0, 4096)); },
       kCut,
       "t is declared F32: 1 elements need 4 bytes at 4 bytes each; the file gives 0: it ends"},
      {"more data than the file",
       [](GgufWriter* w) {
         w->AddTensorEntry(Entry("t", {1ull << 20, 1ull << 20}, 8));
       },
       kCut, "t is declared Q8_0: 1,099,511,627,776 elements need 1,168,231,104,512 bytes"},
      {"overlap", [](GgufWriter* w) { w->AddTensorEntry(Entry("t", {1}, 0, 32)); }, kInvalid,
       "token_embd.weight is declared Q4_0: 192 elements need 108 bytes at 18 bytes per 32; the "
       "file "
       "gives 32 before t starts at byte"},
      {"same place", [](GgufWriter* w) { w->AddTensorEntry(Entry("t", {1}, 0, 128)); }, kInvalid,
       ": they overlap"},
  };
  return *files;
}

TEST(GgufBrokenFileTest, EachHasItsOwnError) {
  for (const BrokenFile& broken : BrokenFiles()) {
    SCOPED_TRACE(broken.what);
    GgufWriter writer = SmallFile();
    broken.damage(&writer);
    const absl::StatusOr<GgufFile> file = ReadBack(writer);
    ASSERT_FALSE(file.ok());
    EXPECT_EQ(file.status().code(), broken.code) << file.status();
    EXPECT_THAT(std::string(file.status().message()),
                AllOf(HasSubstr("test.gguf': "), HasSubstr(broken.message)));
  }
}

TEST(GgufBrokenFileTest, NoFileAndEmptyFile) {
  EXPECT_EQ(GgufFile::Read(testing::TempDir() + "/absent").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ReadBytes("").status().message()),
              HasSubstr("not a GGUF file: it has 0 bytes"));
}

TEST(GgufBrokenFileTest, CutAtAnyByteIsAnError) {
  GgufWriter writer = SmallFile();
  writer.flaws.final_padding = false;
  const std::string whole = writer.Bytes();
  ASSERT_TRUE(ReadBytes(whole).ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    const absl::StatusOr<GgufFile> file = ReadBytes(whole.substr(0, size));
    ASSERT_FALSE(file.ok()) << size;
    if (size < 4) continue;
    ASSERT_EQ(file.status().code(), kCut) << size << " " << file.status();
    ASSERT_THAT(std::string(file.status().message()),
                testing::ContainsRegex(absl::StrCat("(the file|it) ends at byte ", size)));
  }
}

// Whatever a damaged header says, what is accepted stays inside the file.
TEST(GgufBrokenFileTest, FlippedBitsNeverLeaveTheFile) {
  const std::string whole = SmallFile().Bytes();
  const size_t header_size = SmallFile().Header().size();
  for (size_t byte = 0; byte < header_size; ++byte) {
    for (const int mask : {0x01, 0x80, 0xFF}) {
      std::string damaged = whole;
      damaged[byte] = static_cast<char>(damaged[byte] ^ mask);
      const absl::StatusOr<GgufFile> file = ReadBytes(damaged);
      if (!file.ok()) continue;
      for (const TensorInfo& tensor : file->tensors()) {
        ASSERT_GE(tensor.offset, file->data_offset()) << byte;
        ASSERT_LE(tensor.offset + tensor.bytes, whole.size()) << byte;
      }
      ASSERT_TRUE(file->ComputeIdentity().ok()) << byte;
    }
  }
}

// What can be told after the first problem is told, and single tensors are left out.
TEST(GgufBrokenFileTest, DiagnosisGoesOn) {
  GgufWriter writer = SmallFile();
  writer.AddTensorEntry(Entry("no type", {32}, 99));
  writer.AddTensorEntry(Entry("no elements", {0}, 0));
  writer.AddTensorEntry(Entry("no place", {1}, 0, 1 << 20));
  ProblemList problems;
  const std::optional<GgufFile> file =
      GgufFile::Diagnose(WriteBytes("diagnosis.gguf", writer.Bytes()), &problems);
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(file->tensors().size(), 4u);
  EXPECT_EQ(problems.worst(), Severity::kBroken);
  std::vector<ProblemKind> kinds;
  for (const Problem& problem : problems.problems()) kinds.push_back(problem.kind);
  EXPECT_THAT(kinds,
              ElementsAre(ProblemKind::kType, ProblemKind::kTensorTable, ProblemKind::kExtent));
  EXPECT_EQ(problems.problems()[0].severity, Severity::kUnknown);
  EXPECT_EQ(problems.problems()[2].tensor, "no place");
  EXPECT_EQ(problems.problems()[2].offset, file->data_offset() + (1 << 20));
}

// A hole in a file costs its maker nothing; what is read from it has bounds.
TEST(GgufBrokenFileTest, HolesFillNoMemory) {
  const auto error = [](GgufWriter writer) {
    const std::string path = testing::TempDir() + "/hole.gguf";
    writer.flaws.file_size = 1 << 24;
    EXPECT_TRUE(writer.Write(path).ok());
    return std::string(GgufFile::Read(path).status().message());
  };
  GgufWriter bytes;
  bytes.SetRaw("array", 9, Number(0, 4) + Number(kMaxArrayWords + 1, 8));
  EXPECT_THAT(error(bytes), HasSubstr("would take 6291457 words of memory, expected at most"));
  GgufWriter strings;
  strings.SetRaw("array", 9, Number(8, 4) + Number(kMaxArrayWords / kWordsPerString + 1, 8));
  EXPECT_THAT(error(strings), HasSubstr("would take 6291460 words of memory, expected at most"));
  GgufWriter tensors;
  tensors.flaws.tensor_count = kMaxTensors + 1;
  EXPECT_THAT(error(tensors), HasSubstr("declares 65537 tensors, expected at most 65536"));
  GgufWriter keys;
  keys.flaws.metadata_count = kMaxMetadataEntries + 1;
  EXPECT_THAT(error(keys), HasSubstr("declares 65537 metadata entries, expected at most 65536"));
}

// ------------------------------------------------------------------------------ identity

TEST(GgufIdentityTest, DependsOnHeaderSizeAndTheEndsOfEveryTensor) {
  constexpr size_t kTensorBytes = 4 * 5000;
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.AddTensor("a", TensorType::kF32, {5000}, Zeros(kTensorBytes));
  writer.AddTensor("b", TensorType::kF32, {1}, Zeros(4));
  const std::string whole = writer.Bytes();
  const size_t data = writer.Header().size();
  const auto identity = [](const std::string& bytes) {
    const absl::StatusOr<GgufFile> file = ReadBytes(bytes);
    EXPECT_TRUE(file.ok()) << file.status();
    return ToHex(*file->ComputeIdentity());
  };
  const std::string original = identity(whole);
  EXPECT_EQ(original.size(), 64u);
  EXPECT_EQ(identity(whole), original);
  EXPECT_NE(identity(whole + "x"), original);

  const size_t architecture = whole.find("llama");
  for (const size_t byte : {architecture, data, data + 4095, data + kTensorBytes - 4096,
                            data + kTensorBytes - 1, data + kTensorBytes}) {
    std::string changed = whole;
    changed[byte] = 'X';
    EXPECT_NE(identity(changed), original) << byte;
  }
  // The middle of a large tensor is not looked at.
  std::string changed = whole;
  changed[data + 4096] = 'X';
  EXPECT_EQ(identity(changed), original);
}

TEST(GgufIdentityTest, ReadsNoMoreThanItMust) {
  ModelOptions options = TinyLlamaShape(TensorType::kQ4_0);
  options.fill_tensors = false;
  const std::string path = testing::TempDir() + "/identity.gguf";
  ASSERT_TRUE(WriteModel(options, path).ok());
  const absl::StatusOr<GgufFile> file = GgufFile::Read(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const uint64_t before = file->file()->bytes_read();
  ASSERT_TRUE(file->ComputeIdentity().ok());
  EXPECT_LE(file->file()->bytes_read() - before, file->data_offset() + 201 * 8192);
}

}  // namespace
}  // namespace baton
