#include "engine/tokenizer/special_tokens.h"

#include <algorithm>
#include <map>
#include <random>
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

// One token after the other, each wherever the text is not cut yet: what Cut() is to give.
std::vector<std::string> SlowCut(std::vector<SpecialToken> tokens, const std::string& text,
                                 const std::vector<TextRange>& parsed) {
  std::stable_sort(tokens.begin(), tokens.end(), [](const SpecialToken& a, const SpecialToken& b) {
    return a.text.size() != b.text.size() ? a.text.size() > b.text.size() : a.id < b.id;
  });
  std::string marks(text.size(), '.');  // '.' plain, '#' a token's first byte, '+' its others
  std::map<size_t, int32_t> ids;
  for (const SpecialToken& token : tokens) {
    for (size_t at = 0; at + token.text.size() <= text.size(); ++at) {
      const size_t end = at + token.text.size();
      const bool is_parsed = std::any_of(parsed.begin(), parsed.end(), [&](const TextRange& range) {
        return range.begin <= at && end <= range.end;
      });
      if (text.compare(at, token.text.size(), token.text) != 0 ||
          marks.substr(at, token.text.size()) != std::string(token.text.size(), '.') ||
          (!token.is_text && !is_parsed)) {
        continue;
      }
      marks.replace(at, token.text.size(), token.text.size(), '+');
      marks[at] = '#';
      ids[at] = token.id;
      for (size_t i = end;
           token.strips_right && i < text.size() && text[i] == ' ' && marks[i] == '.'; ++i) {
        marks[i] = '+';
      }
    }
  }
  std::vector<std::string> result;
  for (size_t at = 0; at < text.size(); ++at) {
    if (marks[at] == '#') result.push_back("#" + std::to_string(ids[at]));
    if (marks[at] != '.') continue;
    if (at == 0 || marks[at - 1] != '.') result.emplace_back();
    result.back() += text[at];
  }
  return result;
}

TEST(SpecialTokensTest, IsWhatOneTokenAfterTheOtherGives) {
  std::mt19937 random(1);
  const auto draw = [&random](int count) { return static_cast<int>(random() % count); };
  const auto word = [&draw](int most) {
    std::string text;
    for (int i = 1 + draw(most); i > 0; --i) text += "ab "[draw(3)];
    return text;
  };
  for (int round = 0; round < 2000; ++round) {
    std::map<std::string, SpecialToken> by_text;
    for (int32_t id = 0; id < 1 + round % 8; ++id) {
      const std::string text = word(4);
      by_text[text] = {text, id, draw(2) == 0, draw(3) == 0};
    }
    std::vector<SpecialToken> tokens;
    for (const auto& [text, token] : by_text) tokens.push_back(token);
    const std::string text = word(20);
    const size_t middle = draw(static_cast<int>(text.size()) + 1);
    const std::vector<TextRange> parsed = {{0, middle / 2}, {middle, text.size()}};
    std::vector<std::string> got;
    for (const Fragment& fragment : SpecialTokens(tokens).Cut(text, parsed)) {
      got.push_back(fragment.id == kNoToken ? std::string(fragment.text)
                                            : "#" + std::to_string(fragment.id));
    }
    ASSERT_EQ(got, SlowCut(tokens, text, parsed)) << text;
  }
}

// Time that grows with tokens times text would be minutes.
TEST(SpecialTokensTest, ManyKindsOfTokensInALongText) {
  std::vector<SpecialToken> tokens;
  std::string text;
  constexpr int kTokens = 6000, kTimes = 40;
  for (int32_t id = 0; id < kTokens; ++id) {
    tokens.push_back({"<unused" + std::to_string(id) + ">", id, /*is_text=*/true});
  }
  for (int i = 0; i < kTokens * kTimes; ++i) text += tokens[i % kTokens].text + "a";
  const SpecialTokens special(std::move(tokens));
  EXPECT_EQ(special.Cut(text, {}).size(), 2u * kTokens * kTimes);
}

}  // namespace
}  // namespace baton
