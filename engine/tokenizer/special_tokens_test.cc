#include "engine/tokenizer/special_tokens.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

// "text" for text, "#id" for a token.
std::vector<std::string> Cut(const SpecialTokens& tokens, absl::string_view text,
                             bool parse_special = true) {
  std::vector<TextRange> parsed;
  if (parse_special) parsed.push_back({0, text.size()});
  std::vector<std::string> result;
  for (const Fragment& fragment : tokens.Cut(text, parsed)) {
    result.push_back(fragment.id == kNoToken ? std::string(fragment.text)
                                             : "#" + std::to_string(fragment.id));
  }
  return result;
}

using Strings = std::vector<std::string>;

TEST(SpecialTokensTest, CutsAtStartMiddleAndEnd) {
  const SpecialTokens tokens({{"<s>", 1}, {"</s>", 2}});
  EXPECT_EQ(Cut(tokens, "<s>a</s><s> b <s>"), (Strings{"#1", "a", "#2", "#1", " b ", "#1"}));
  EXPECT_EQ(Cut(tokens, "plain"), (Strings{"plain"}));
  EXPECT_EQ(Cut(tokens, ""), Strings{});
}

TEST(SpecialTokensTest, TheLongestIsCutFirstEvenFromTheRight) {
  const SpecialTokens tokens({{"ab", 1}, {"bcd", 2}});
  EXPECT_EQ(Cut(tokens, "abcd"), (Strings{"a", "#2"}));
  EXPECT_EQ(Cut(tokens, "abab"), (Strings{"#1", "#1"}));
}

TEST(SpecialTokensTest, EqualLengthsGoByIdThenLeftmost) {
  const SpecialTokens tokens({{"ba", 7}, {"ab", 3}});
  EXPECT_EQ(Cut(tokens, "bab"), (Strings{"b", "#3"}));
  const SpecialTokens one({{"aa", 1}});
  EXPECT_EQ(Cut(one, "aaa"), (Strings{"#1", "a"}));
}

TEST(SpecialTokensTest, OnlyTextTokensWithoutParsing) {
  const SpecialTokens tokens({{"<s>", 1}, {"  ", 2, /*is_text=*/true}});
  EXPECT_EQ(Cut(tokens, "<s>  x", false), (Strings{"<s>", "#2", "x"}));
}

TEST(SpecialTokensTest, OnlyInsideParsedRanges) {
  const SpecialTokens tokens({{"<s>", 1}, {"  ", 2, /*is_text=*/true}});
  //                         0123456789
  const std::string text = "<s><s>  <s>";
  std::vector<int32_t> ids;
  for (const Fragment& fragment : tokens.Cut(text, {{0, 3}, {4, 7}, {8, 11}})) {
    ids.push_back(fragment.id);
  }
  EXPECT_EQ(ids, (std::vector<int32_t>{1, kNoToken, 2, 1}));
}

TEST(SpecialTokensTest, StripsWhiteSpaceOnTheRight) {
  const SpecialTokens tokens({{"<|end|>", 1, false, /*strips_right=*/true}, {"<s>", 2}});
  EXPECT_EQ(Cut(tokens, " <|end|> \n\t<s> <|end|>  "), (Strings{" ", "#1", "#2", " ", "#1"}));
}

}  // namespace
}  // namespace baton
