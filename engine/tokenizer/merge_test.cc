#include "engine/tokenizer/merge.h"

#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

// Merges the characters of a text; `costs` are of merged texts. Pieces joined by '|'.
std::string MergeText(const std::string& text, const std::map<std::string, double>& costs) {
  std::vector<Symbol> symbols;
  for (uint32_t i = 0; i < text.size(); ++i) symbols.push_back({i, 1, 0});
  MergeSymbols(
      [&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
        EXPECT_EQ(left.begin + left.length, right.begin);
        const auto cost = costs.find(text.substr(left.begin, left.length + right.length));
        if (cost == costs.end()) return std::nullopt;
        return Merge{cost->second, 0};
      },
      &symbols);
  std::string result;
  for (const Symbol& symbol : symbols) {
    if (symbol.length == 0) continue;
    if (!result.empty()) result += '|';
    result += text.substr(symbol.begin, symbol.length);
  }
  return result;
}

TEST(MergeTest, TheCheapestGoesFirst) {
  EXPECT_EQ(MergeText("abc", {{"ab", 2}, {"bc", 1}}), "a|bc");
  EXPECT_EQ(MergeText("abc", {{"ab", 1}, {"bc", 2}}), "ab|c");
}

TEST(MergeTest, TiesGoToTheLeft) {
  EXPECT_EQ(MergeText("aaa", {{"aa", 1}}), "aa|a");
  EXPECT_EQ(MergeText("aaaaa", {{"aa", 1}, {"aaaa", 1}}), "aaaa|a");
  EXPECT_EQ(MergeText("abcbc", {{"ab", 1}, {"bc", 1}}), "ab|c|bc");
}

TEST(MergeTest, MergedPairsMergeAgain) {
  EXPECT_EQ(MergeText("abcd", {{"cd", 1}, {"bcd", 2}, {"abcd", 3}}), "abcd");
  // "bc" waits in the queue when "ab" takes its left half.
  EXPECT_EQ(MergeText("abc", {{"ab", 1}, {"bc", 2}, {"abc", 3}}), "abc");
}

TEST(MergeTest, EmptyAndSingle) {
  EXPECT_EQ(MergeText("", {{"ab", 1}}), "");
  EXPECT_EQ(MergeText("a", {{"aa", 1}}), "a");
}

TEST(MergeTest, AVeryLongWord) {
  const std::string text(1 << 18, 'a');
  std::map<std::string, double> costs;
  for (int length = 2; length <= 16; length *= 2) costs[std::string(length, 'a')] = length;
  const std::string merged = MergeText(text, costs);
  EXPECT_EQ(merged.size(), text.size() + text.size() / 16 - 1);
}

}  // namespace
}  // namespace baton
