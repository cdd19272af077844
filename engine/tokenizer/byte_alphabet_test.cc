#include "engine/tokenizer/byte_alphabet.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(ByteAlphabetTest, PublishedExamples) {
  EXPECT_EQ(ByteCharacter(' '), "Ġ");
  EXPECT_EQ(ByteCharacter('\n'), "Ċ");
  EXPECT_EQ(ByteCharacter('\t'), "ĉ");
  EXPECT_EQ(ByteCharacter('A'), "A");
  EXPECT_EQ(ByteCharacter(0), "Ā");
  EXPECT_EQ(ByteCharacter(0xAD), "Ń");
  EXPECT_EQ(ByteCharacter(0xFF), "ÿ");
  EXPECT_EQ(EncodeBytes(" é"), "ĠÃ©");
}

TEST(ByteAlphabetTest, AllBytesComeBack) {
  std::string bytes;
  std::set<std::string> characters;
  for (int byte = 0; byte < 256; ++byte) {
    bytes.push_back(static_cast<char>(byte));
    characters.insert(ByteCharacter(byte));
  }
  EXPECT_EQ(characters.size(), 256u);
  EXPECT_EQ(DecodeBytes(EncodeBytes(bytes)), bytes);
}

TEST(ByteAlphabetTest, StrangersStayAsTheyAre) {
  EXPECT_EQ(DecodeBytes("a▁b 漢\xFF"), "a▁b 漢\xFF");
}

}  // namespace
}  // namespace baton
