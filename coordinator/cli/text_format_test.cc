#include "coordinator/cli/text_format.h"

#include <fstream>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(HumanBytesTest, HasThreeDigitsAndAUnit) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1024), "1.00 KiB");
  EXPECT_EQ(HumanBytes(98362432), "93.8 MiB");
  EXPECT_EQ(HumanBytes((uint64_t{1} << 30) - 1), "1.00 GiB");
  EXPECT_EQ(HumanBytes(~uint64_t{0}), "16.0 EiB");
}

TEST(OneLineTest, IsOneLine) {
  EXPECT_EQ(OneLine("a\nb\r\tc\x1b[0m\n"), "a b  c [0m");
  EXPECT_EQ(OneLine("\xc3\xa4"), "\xc3\xa4");
}

TEST(ReadTextTest, GivesEveryByte) {
  const std::string path = testing::TempDir() + "/text";
  for (const size_t size : {size_t{0}, size_t{5}, size_t{1} << 16, (size_t{1} << 16) + 1}) {
    std::string text(size, 'x');
    if (size > 3) text[3] = '\0';
    std::ofstream(path, std::ios::binary) << text;
    const absl::StatusOr<std::string> read = ReadText(path);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, text);
  }
}

TEST(ReadTextTest, NamesWhatItCannotRead) {
  for (const std::string& path : {testing::TempDir() + "/nowhere", testing::TempDir()}) {
    const absl::Status status = ReadText(path).status();
    EXPECT_FALSE(status.ok());
    EXPECT_NE(status.message().find(path), absl::string_view::npos) << status;
  }
}

}  // namespace
}  // namespace baton
