#include "engine/inspect/value_scan.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <string>

#include "engine/gguf/gguf_writer.h"
#include "engine/quant/half.h"
#include "engine/testing/model_maker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using ::testing::HasSubstr;

GgufFile Write(const GgufWriter& writer) {
  const std::string path = testing::TempDir() + "/value_scan_test.gguf";
  EXPECT_TRUE(writer.Write(path).ok());
  return *GgufFile::Read(path);
}

std::vector<ValueStatistics> Scan(const GgufFile& file, ProblemList* problems, int threads = 2) {
  ThreadPool pool(threads);
  const auto values = ScanValues(file, pool, nullptr, problems);
  EXPECT_TRUE(values.ok()) << values.status();
  return values.value_or(std::vector<ValueStatistics>());
}

std::vector<uint8_t> Floats(const std::vector<float>& floats) {
  std::vector<uint8_t> bytes(floats.size() * sizeof(float));
  std::memcpy(bytes.data(), floats.data(), bytes.size());
  return bytes;
}

// Blocks of Q4_0 with the scale 1.
std::vector<uint8_t> Blocks(size_t count, uint8_t nibbles) {
  std::vector<uint8_t> bytes(count * 18, nibbles);
  for (size_t block = 0; block < count; ++block) {
    bytes[18 * block] = 0x00;
    bytes[18 * block + 1] = 0x3C;
  }
  return bytes;
}

TEST(ValueScanTest, StatisticsOfEveryWeight) {
  GgufWriter writer;
  writer.AddTensor("floats", TensorType::kF32, {5}, Floats({-2, 0, 0.5f, 3, 0}));
  std::vector<uint8_t> blocks = Blocks(3, 0x9F);  // 7 and 1
  const std::vector<uint8_t> zeros = Blocks(1, 0x88);
  blocks.insert(blocks.end(), zeros.begin(), zeros.end());
  writer.AddTensor("blocks", TensorType::kQ4_0, {64, 2}, blocks);
  writer.AddTensor("integers", TensorType::kI32, {4});
  ProblemList problems;
  const auto values = Scan(Write(writer), &problems);
  EXPECT_TRUE(problems.problems().empty());
  EXPECT_EQ(values[0].sampled_count, 5u);
  EXPECT_EQ(values[0].zero_blocks, 2u);
  EXPECT_EQ(values[0].least, -2);
  EXPECT_EQ(values[0].most, 3);
  EXPECT_DOUBLE_EQ(values[0].root_mean_square, std::sqrt(13.25 / 5));
  EXPECT_EQ(values[1].sampled_count, 128u);
  EXPECT_EQ(values[1].zero_blocks, 1u);
  EXPECT_EQ(values[1].least, 0);
  EXPECT_EQ(values[1].most, 7);
  EXPECT_DOUBLE_EQ(values[1].root_mean_square, std::sqrt(25 * 0.75));
  EXPECT_EQ(values[2].sampled_count, 0u);
}

TEST(ValueScanTest, BadBlocksByTensorBlockAndByte) {
  GgufWriter writer;
  std::vector<uint8_t> blocks = Blocks(40000, 0x12);
  for (const size_t block : {size_t{3}, size_t{4}, size_t{39999}}) {
    blocks[18 * block + 1] = 0x7C;  // infinite
  }
  writer.AddTensor("first", TensorType::kF32, {8}, Floats({1, 2, 3, 4, 5, 6, 7, NAN}));
  writer.AddTensor("blocks", TensorType::kQ4_0, {32, 40000}, blocks);
  const GgufFile file = Write(writer);
  ProblemList problems;
  const auto values = Scan(file, &problems);
  ASSERT_EQ(problems.problems().size(), 4u);
  EXPECT_EQ(problems.problems()[0].tensor, "first");
  EXPECT_EQ(problems.problems()[0].offset, file.tensors()[0].offset + 28);
  EXPECT_THAT(std::string(problems.problems()[2].status.message()),
              HasSubstr("tensor blocks, block 4, byte "));
  EXPECT_EQ(problems.problems()[3].offset, file.tensors()[1].offset + 18 * 39999);
  EXPECT_EQ(values[0].sampled_count, 7u);
  EXPECT_EQ(values[0].most, 7);
  EXPECT_TRUE(std::isfinite(values[1].root_mean_square));
}

TEST(ValueScanTest, ManyBadBlocksAreToldOnce) {
  GgufWriter writer;
  writer.AddTensor("t", TensorType::kF32, {100000}, Floats(std::vector<float>(100000, INFINITY)));
  ProblemList problems;
  EXPECT_EQ(Scan(Write(writer), &problems)[0].sampled_count, 0u);
  ASSERT_EQ(problems.problems().size(), 6u);
  EXPECT_EQ(problems.problems()[5].status.message(), "tensor t has more blocks like these");
}

// Of large tensors a part is looked at, spread over all of it; the same whatever the threads.
TEST(ValueScanTest, LargeTensorsAreSampled) {
  ModelOptions options;
  options.width = 1024;
  options.head_count = 8;
  options.layer_count = 1;
  options.vocabulary_size = 2000;
  options.type = TensorType::kQ6_K;
  const GgufFile file = *GgufFile::Read(*MakeModel(options, testing::TempDir()));
  ProblemList problems;
  const auto values = Scan(file, &problems, 3);
  EXPECT_TRUE(problems.problems().empty());
  const ValueStatistics& embedding = values[0];
  EXPECT_EQ(embedding.weight_count, 1024u * 2000);
  EXPECT_GT(embedding.sampled_count, kSampledWeights / 2);
  EXPECT_LT(embedding.sampled_count, kSampledWeights * 2);
  EXPECT_NEAR(embedding.root_mean_square, 1.0 / 32, 0.005);
  EXPECT_EQ(Scan(file, &problems, 1)[0].root_mean_square, embedding.root_mean_square);
}

TEST(ValueScanTest, EndsWhenNobodyWaits) {
  ModelOptions options;
  const GgufFile file = *GgufFile::Read(*MakeModel(options, testing::TempDir()));
  ThreadPool pool(1);
  ProblemList problems;
  const auto values = ScanValues(
      file, pool, [](uint64_t, uint64_t) { return false; }, &problems);
  EXPECT_EQ(values.status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace baton
