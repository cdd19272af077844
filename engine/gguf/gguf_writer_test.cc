#include "engine/gguf/gguf_writer.h"

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "engine/gguf/gguf_file.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

std::string ReadWhole(const std::string& path) {
  std::stringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

// The bytes of a file written by hand, from the description of the format.
TEST(GgufWriterTest, WritesTheFormat) {
  GgufWriter writer;
  writer.SetU32("k", 7);
  writer.AddTensor("t", TensorType::kF32, {2}, std::vector<uint8_t>{1, 2, 3, 4, 5, 6, 7, 8});
  const std::string expected(
      "GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0"  // magic, version, counts
      "\x01\0\0\0\0\0\0\0k\x04\0\0\0\x07\0\0\0"             // k = u32 7
      "\x01\0\0\0\0\0\0\0t\x01\0\0\0\x02\0\0\0\0\0\0\0"     // t, one dimension of 2
      "\0\0\0\0\0\0\0\0\0\0\0\0"                            // F32, offset 0
      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"        // up to byte 96
      "\x01\x02\x03\x04\x05\x06\x07\x08"
      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
      128);
  EXPECT_EQ(writer.Bytes(), expected);
  const std::string path = testing::TempDir() + "/by_hand.gguf";
  ASSERT_TRUE(writer.Write(path).ok());
  EXPECT_EQ(ReadWhole(path), expected);
}

TEST(GgufWriterTest, FlawsAreWritten) {
  GgufWriter writer;
  writer.AddTensor("t", TensorType::kF32, {1}, std::vector<uint8_t>{1, 2, 3, 4});
  const size_t whole = writer.Bytes().size();
  writer.flaws.final_padding = false;
  EXPECT_EQ(writer.Bytes().size(), whole - 28);
  writer.flaws.file_size = 70;
  EXPECT_EQ(writer.Bytes().size(), 70u);
  writer.flaws.magic = "lmgg";
  writer.flaws.version = 9;
  writer.flaws.tensor_count = 0x0102;
  EXPECT_EQ(writer.Bytes().substr(0, 10), std::string("lmgg\x09\0\0\0\x02\x01", 10));
}

// A tensor of many pieces, some of which cannot be made.
TEST(GgufWriterTest, TheFirstErrorOfAFillIsReported) {
  GgufWriter writer;
  writer.AddTensor("t", TensorType::kF32, {1 << 18, 16}, [](uint64_t first, uint64_t, uint8_t*) {
    return first < 4 ? absl::OkStatus() : absl::DataLossError(std::to_string(first));
  });
  EXPECT_EQ(writer.Write(testing::TempDir() + "/unfilled.gguf", 3).message(), "4");
}

TEST(GgufWriterTest, UnwritablePathIsAnError) {
  EXPECT_FALSE(GgufWriter().Write(testing::TempDir() + "/no/such/directory/x.gguf").ok());
}

}  // namespace
}  // namespace baton
