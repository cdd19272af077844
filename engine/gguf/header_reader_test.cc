#include "engine/gguf/header_reader.h"

#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<RandomAccessFile> OpenBytes(const std::string& bytes) {
  const std::string path = testing::TempDir() + "/header";
  std::ofstream(path, std::ios::binary) << bytes;
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> file = RandomAccessFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  return *std::move(file);
}

TEST(HeaderReaderTest, ReadsLittleEndian) {
  const auto file = OpenBytes("\x01\x02\x03\x04\x05\x06\x07\x08\xFF");
  HeaderReader reader(*file);
  EXPECT_EQ(*reader.ReadUnsigned(2, "a"), 0x0201u);
  EXPECT_EQ(*reader.ReadUnsigned(1, "b"), 0x03u);
  EXPECT_EQ(*reader.ReadUnsigned(4, "c"), 0x07060504u);
  EXPECT_EQ(reader.position(), 7u);
  EXPECT_EQ(reader.remaining(), 2u);
  const absl::Status status = reader.ReadUnsigned(4, "the thing").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(std::string(status.message()),
            "the file ends at byte 9, inside the thing: 4 bytes were expected at byte 7");
  EXPECT_EQ(reader.position(), 7u);  // a failed read takes nothing
}

TEST(HeaderReaderTest, ReadsStringsAcrossBuffers) {
  std::string text(3 * kHeaderBufferBytes, 'x');
  text.front() = 'A';
  text.back() = 'Z';
  const auto file = OpenBytes(std::string("\0\x30\0\0\0\0\0\0", 8) + text + "\x05");
  ASSERT_EQ(text.size(), 0x3000u);
  HeaderReader reader(*file);
  EXPECT_EQ(*reader.ReadString("text"), text);
  EXPECT_EQ(*reader.ReadUnsigned(1, "rest"), 5u);
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST(HeaderReaderTest, TakesLittleMoreThanItNeeds) {
  const auto file = OpenBytes(std::string(20 * kHeaderBufferBytes, 'x'));
  HeaderReader reader(*file);
  ASSERT_TRUE(reader.ReadUnsigned(8, "a").ok());
  EXPECT_EQ(file->bytes_read(), kHeaderBufferBytes);
}

TEST(HeaderReaderTest, HeaderHasALimit) {
  const std::string path = testing::TempDir() + "/huge";
  std::ofstream(path, std::ios::binary) << std::string("\0\0\0\x10\0\0\0\0", 8);  // 2^28
  ASSERT_EQ(truncate(path.c_str(), static_cast<off_t>(2 * kMaxHeaderBytes)), 0);
  const auto file = RandomAccessFile::Open(path);
  ASSERT_TRUE(file.ok());
  HeaderReader reader(**file);
  const absl::Status status = reader.ReadString("a string").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("the header does not end within 268435456 bytes"));
}

TEST(HeaderReaderTest, FileThatShrinksIsAnError) {
  const std::string path = testing::TempDir() + "/shrinking";
  std::ofstream(path, std::ios::binary) << std::string(64, 'x');
  const auto file = RandomAccessFile::Open(path);
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(truncate(path.c_str(), 10), 0);
  HeaderReader reader(**file);
  EXPECT_EQ(reader.ReadUnsigned(8, "a").status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace baton
