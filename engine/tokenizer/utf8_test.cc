#include "engine/tokenizer/utf8.h"

#include <string>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(Utf8Test, EveryCodePointIsOneCharacter) {
  for (uint32_t code = 0; code <= 0x10FFFF; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(code, &text);
    ASSERT_EQ(Utf8CharLength(text, 0), text.size()) << code;
    ASSERT_EQ(DecodeUtf8(text), code);
    for (size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_EQ(Utf8CharLength(text.substr(0, cut), 0), 0u) << code;
      ASSERT_EQ(IncompleteUtf8Suffix("ab" + text.substr(0, cut)), cut) << code;
    }
    ASSERT_EQ(IncompleteUtf8Suffix(text), 0u);
  }
}

TEST(Utf8Test, MalformedFormsAreNoCharacters) {
  for (const char* text : {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80",
                           "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    EXPECT_EQ(Utf8CharLength(text, 0), 0u) << text;
  }
}

TEST(Utf8Test, HopelessBytesAreNotIncomplete) {
  EXPECT_EQ(IncompleteUtf8Suffix("a\x80"), 0u);
  EXPECT_EQ(IncompleteUtf8Suffix("\xE0\x80"), 0u);  // overlong whatever follows
  EXPECT_EQ(IncompleteUtf8Suffix("\xFF"), 0u);
  EXPECT_EQ(IncompleteUtf8Suffix(""), 0u);
  EXPECT_EQ(IncompleteUtf8Suffix("\xF0\x9F\x98"), 3u);
}

TEST(Utf8Test, TellsWhatIsWellFormedAndWhatBegins) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("a\xC3\xA9\xF0\x9F\x98\x80"));
  EXPECT_FALSE(IsUtf8("a\xC3"));
  EXPECT_FALSE(IsUtf8("\xA9"));
  EXPECT_EQ(CountUtf8Beginnings("a\xC3\xA9\xF0\x9F\x98\x80"), 3u);
  EXPECT_EQ(CountUtf8Beginnings("\xF0\x9F"), 1u);
  EXPECT_EQ(CountUtf8Beginnings("\x98\x80z"), 1u);
}

}  // namespace
}  // namespace baton
