#include "engine/base/file.h"

#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace baton {
namespace {

std::string WriteTemp(const std::string& name, const std::string& bytes) {
  const std::string path = testing::TempDir() + "/" + name;
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

TEST(RandomAccessFileTest, ReadsByPositionAndCounts) {
  auto file = RandomAccessFile::Open(WriteTemp("ten", "0123456789"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->size(), 10u);
  char bytes[4] = {};
  ASSERT_TRUE((*file)->ReadAt(3, bytes, 4).ok());
  EXPECT_EQ(std::string(bytes, 4), "3456");
  EXPECT_EQ((*file)->bytes_read(), 4u);
}

TEST(RandomAccessFileTest, ShortFileSaysWhereItEnds) {
  auto file = RandomAccessFile::Open(WriteTemp("short", "0123456789"));
  ASSERT_TRUE(file.ok());
  char bytes[8];
  const absl::Status status = (*file)->ReadAt(6, bytes, 8);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(std::string(status.message()).find("has 10 bytes, and bytes "), std::string::npos)
      << status;
}

TEST(RandomAccessFileTest, MissingFileAndDirectoryAreErrors) {
  EXPECT_EQ(RandomAccessFile::Open("/no/such/file").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(RandomAccessFile::Open(testing::TempDir()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace baton
