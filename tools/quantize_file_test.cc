#include "tools/quantize_file.h"

#include <bit>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "engine/gguf/gguf_writer.h"
#include "engine/quant/dequantize.h"
#include "engine/testing/model_maker.h"
#include "engine/testing/model_splitter.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

std::string ReadWhole(const std::string& path) {
  std::stringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

GgufFile Read(const std::string& path) {
  absl::StatusOr<GgufFile> file = GgufFile::Read(path);
  EXPECT_TRUE(file.ok()) << file.status();
  return *std::move(file);
}

GgufFile MakeFloats(int width) {
  ModelOptions options;
  options.layer_count = 3;
  options.width = width;
  options.feed_forward_size = 512;
  options.vocabulary_size = 3000;
  options.chat_template = "{{ messages }}";
  return Read(*MakeModel(options, testing::TempDir()));
}

std::vector<float> ReadWeights(const GgufFile& file, const TensorInfo& tensor) {
  std::vector<uint8_t> blocks(tensor.bytes);
  EXPECT_TRUE(file.file()->ReadAt(tensor.offset, blocks.data(), blocks.size()).ok());
  std::vector<float> weights(tensor.elements());
  Dequantize(tensor.type, blocks.data(), weights.size(), weights.data());
  return weights;
}

std::string Out(const char* name) { return testing::TempDir() + "/" + name; }

TEST(QuantizeFileTest, WritesTheMixAndReportsItsError) {
  const GgufFile in = MakeFloats(256);
  const std::string path = Out("mix.gguf");
  std::map<std::string, QuantizedTensor> reports;
  ASSERT_TRUE(QuantizeFile(in, path, *FindFileType("Q4_K_M"), 2, [&](const QuantizedTensor& t) {
                reports[t.name] = t;
              }).ok());
  const GgufFile out = Read(path);
  EXPECT_EQ(*out.GetU32("general.file_type"), 15u);
  EXPECT_EQ(out.FindTensor("blk.0.ffn_up")->type, TensorType::kQ4_K);
  EXPECT_EQ(out.FindTensor("blk.2.ffn_down")->type, TensorType::kQ6_K);
  EXPECT_EQ(out.FindTensor("output")->type, TensorType::kQ6_K);
  EXPECT_EQ(out.FindTensor("blk.0.attn_norm")->type, TensorType::kF32);
  ASSERT_EQ(reports.size(), in.tensors().size());
  for (const TensorInfo& tensor : in.tensors()) {
    SCOPED_TRACE(tensor.name);
    const QuantizedTensor& report = reports[tensor.name];
    const std::vector<float> before = ReadWeights(in, tensor);
    const std::vector<float> after = ReadWeights(out, *out.FindTensor(tensor.name));
    ASSERT_EQ(before.size(), after.size());
    double error = 0;
    float largest = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      error += std::pow(after[i] - before[i], 2);
      largest = std::max(largest, std::abs(after[i] - before[i]));
    }
    EXPECT_NEAR(report.squared_error, error, 1e-6 * error);
    EXPECT_EQ(report.largest_error, largest);
    EXPECT_EQ(report.bytes, out.FindTensor(tensor.name)->bytes);
    EXPECT_LT(report.squared_error, 0.007 * report.squared_weights);
  }
}

TEST(QuantizeFileTest, MetadataIsCopied) {
  const GgufFile in = MakeFloats(64);
  const std::string path = Out("metadata.gguf");
  ASSERT_TRUE(QuantizeFile(in, path, *FindFileType("Q8_0"), 1).ok());
  const GgufFile out = Read(path);
  EXPECT_EQ(out.metadata().size(), in.metadata().size());
  for (const auto& [key, value] : in.metadata()) {
    const GgufValue* copy = out.FindValue(key);
    ASSERT_NE(copy, nullptr) << key;
    EXPECT_EQ(copy->elements == value.elements, key != "general.file_type") << key;
  }
}

TEST(QuantizeFileTest, AModelInShardsBecomesOneFile) {
  const GgufFile whole = MakeFloats(256);
  const auto shards = SplitModel(whole.path(), Out("sharded"), 2);
  ASSERT_TRUE(shards.ok()) << shards.status();
  ASSERT_TRUE(
      QuantizeFile(Read(shards->front()), Out("whole.gguf"), *FindFileType("Q8_0"), 1).ok());
  const GgufFile written = Read(Out("whole.gguf"));
  EXPECT_EQ(written.tensors().size(), whole.tensors().size());
  EXPECT_FALSE(written.Has("split.count"));
}

TEST(QuantizeFileTest, ThreadsChangeNoByte) {
  const GgufFile in = MakeFloats(256);
  ASSERT_TRUE(QuantizeFile(in, Out("one.gguf"), *FindFileType("Q5_K"), 1).ok());
  ASSERT_TRUE(QuantizeFile(in, Out("three.gguf"), *FindFileType("Q5_K"), 3).ok());
  EXPECT_EQ(ReadWhole(Out("one.gguf")), ReadWhole(Out("three.gguf")));
}

TEST(QuantizeFileTest, RowsThatBlocksDoNotDivideFallBack) {
  const std::string path = Out("narrow.gguf");
  ASSERT_TRUE(QuantizeFile(MakeFloats(96), path, *FindFileType("Q4_K_M"), 1).ok());
  const GgufFile out = Read(path);
  EXPECT_EQ(out.FindTensor("blk.0.attn_q")->type, TensorType::kQ5_0);
  EXPECT_EQ(out.FindTensor("output")->type, TensorType::kQ8_0);
  EXPECT_EQ(out.FindTensor("blk.0.ffn_down")->type, TensorType::kQ4_K);
}

TEST(QuantizeFileTest, AFileOfItsTypeComesBackAsItWas) {
  const std::string path = Out("twice.gguf");
  ASSERT_TRUE(QuantizeFile(MakeFloats(64), path, *FindFileType("Q4_0"), 1).ok());
  const std::string once = ReadWhole(path);
  // Onto itself.
  ASSERT_TRUE(QuantizeFile(Read(path), path, *FindFileType("Q4_0"), 1).ok());
  EXPECT_EQ(ReadWhole(path), once);
}

TEST(QuantizeFileTest, AWeightThatIsNoNumberIsNamed) {
  const auto quantize = [](float weight, const char* type) {
    std::vector<uint8_t> data(4 * 64 * 3);
    const uint32_t bits = std::bit_cast<uint32_t>(weight);
    for (int i = 0; i < 4; ++i) data[4 * 100 + i] = static_cast<uint8_t>(bits >> (8 * i));
    GgufWriter writer;
    writer.SetString("general.architecture", "llama");
    writer.AddTensor("blk.0.attn_q.weight", TensorType::kF32, {64, 3}, data);
    const std::string in = Out("bad.gguf");
    EXPECT_TRUE(writer.Write(in).ok());
    const absl::Status status = QuantizeFile(Read(in), Out("never.gguf"), *FindFileType(type), 1);
    EXPECT_FALSE(std::filesystem::exists(Out("never.gguf")));
    EXPECT_FALSE(std::filesystem::exists(Out("never.gguf.partial")));
    return std::string(status.message());
  };
  EXPECT_EQ(quantize(std::numeric_limits<float>::infinity(), "Q4_0"),
            Out("bad.gguf") +
                ": tensor 'blk.0.attn_q.weight': element 100 is inf, expected a "
                "finite number for Q4_0");
  EXPECT_EQ(quantize(1e6f, "F16"),
            Out("bad.gguf") +
                ": tensor 'blk.0.attn_q.weight': element 100 is 1e+06, which is too "
                "large for F16");
}

}  // namespace
}  // namespace baton
