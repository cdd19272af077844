#include "engine/tokenizer/pre_tokenizer.h"

#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using Strings = std::vector<std::string>;

const PreTokenizerRule& Rule(absl::string_view name) {
  const auto rule = FindPreTokenizerRule(name);
  EXPECT_TRUE(rule.ok()) << rule.status();
  return **rule;
}

Strings Split(absl::string_view name, absl::string_view text) {
  Strings pieces;
  for (const absl::string_view piece : PreTokenizer(Rule(name)).Split(text)) {
    pieces.emplace_back(piece);
  }
  return pieces;
}

struct Case {
  const char* text;
  Strings pieces;
};

void ExpectSplits(const Strings& names, const std::vector<Case>& cases) {
  for (const std::string& name : names) {
    for (const Case& c : cases) EXPECT_EQ(Split(name, c.text), c.pieces) << name << ": " << c.text;
  }
}

TEST(PreTokenizerTest, Gpt2) {
  ExpectSplits({"gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4", "trillion", "granite-docling",
                "gigachat", "mellum", "a.x-4.0"},
               {{"", {}},
                {"Hello world", {"Hello", " world"}},
                {"I've  don't", {"I", "'ve", " ", " don", "'t"}},
                {"HE'LL 'tis", {"HE", "'", "LL", " '", "tis"}},
                {"\n\n 123abc", {"\n\n", " 123", "abc"}},
                {"a\nb", {"a", "\n", "b"}},
                {"a \n b  ", {"a", " \n", " b", "  "}},
                {"12345 ½²", {"12345", " ½²"}},
                {"你好,世界!!", {"你好", ",", "世界", "!!"}},
                {" 🦙.cpp", {" 🦙.", "cpp"}},
                {"e\u0301x", {"e", "\u0301", "x"}},
                {"a\u00a0\u3000b", {"a", "\u00a0", "\u3000", "b"}},
                // U+180E and U+200B are no white space.
                {"a\u180e\u200bb", {"a", "\u180e\u200b", "b"}}});
}

TEST(PreTokenizerTest, DigitsOneByOneBeforeGpt2) {
  ExpectSplits({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
                "mellum2"},
               {{"v12 3", {"v", "1", "2", " ", "3"}},
                {"x = 3.14", {"x", " =", " ", "3", ".", "1", "4"}},
                {"it's  ok", {"it", "'s", " ", " ok"}},
                // The space before a digit ends its piece, so the look-ahead does not spare it.
                {"a   7", {"a", "   ", "7"}},
                {"٣½", {"٣", "½"}}});
}

TEST(PreTokenizerTest, Llama3) {
  ExpectSplits({"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
                "lfm2", "dbrx", "smaug-bpe", "chatglm-bpe", "glm4"},
               {{"I've HE'LL", {"I", "'ve", " HE", "'LL"}},
                {"\n\n 123abc", {"\n\n", " ", "123", "abc"}},
                {"12345", {"123", "45"}},
                {"  \n  x", {"  \n", " ", " x"}},
                {"a!\r\n\nb", {"a", "!\r\n\n", "b"}},
                {"$word (x)", {"$word", " (", "x", ")"}},
                {"e\u0301x", {"e", "\u0301x"}},
                {" 你好 🦙 ", {" 你好", " 🦙", " "}},
                {"'ſ", {"'ſ"}}});
}

TEST(PreTokenizerTest, Qwen2) {
  ExpectSplits({"qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "grok-2", "kormo"},
               {{"I'Ve 12345", {"I", "'Ve", " ", "1", "2", "3", "4", "5"}},
                {"a!\n\nb", {"a", "!\n\n", "b"}},
                {" \n\n\n x", {" \n\n\n", " x"}},
                {"e\u0301x", {"e", "\u0301x"}}});
}

TEST(PreTokenizerTest, QwensAndLlamasRelatives) {
  ExpectSplits({"qwen35"}, {{"e\u0301x 12!\n", {"e\u0301x", " ", "1", "2", "!\n"}}});
  ExpectSplits({"seed-coder"}, {{"a!\n\nb 12", {"a", "!", "\n\n", "b", " ", "1", "2"}}});
  ExpectSplits({"tekken"}, {{"HelloWorld FOOBar it's 12./\n",
                             {"Hello", "World", " FOOBar", " it", "'s", " ", "1", "2", "./\n"}}});
  ExpectSplits(
      {"gpt-4o", "llama4", "kanana2"},
      {{"HelloWorld FOOBar it's 1234", {"Hello", "World", " FOOBar", " it's", " ", "123", "4"}}});
}

TEST(PreTokenizerTest, DefaultAndFalcon) {
  const char text[] = "a... $5 1234567`x 12";
  EXPECT_EQ(Split("default", text),
            (Strings{"a", "...", " ", "$", "5", " ", "123", "456", "7", "`", "x", " ", "12"}));
  EXPECT_EQ(Split("falcon", text),
            (Strings{"a", "...", " ", "$", "5", " ", "123", "456", "7", "`", "x", " 12"}));
  // Punctuation is cut out before contractions are looked for.
  EXPECT_EQ(Split("default", "it's"), (Strings{"it", "'", "s"}));
  EXPECT_EQ(Split("falcon", "it's"), (Strings{"it", "'", "s"}));
  // Only the default rule leaves the backtick to GPT-2's part, which joins it with a space.
  EXPECT_EQ(Split("default", "a `b"), (Strings{"a", " `", "b"}));
  EXPECT_EQ(Split("falcon", "a `b"), (Strings{"a", " ", "`", "b"}));
}

TEST(PreTokenizerTest, DeepSeek) {
  const char text[] = "Hello, 世界 99\n  x";
  EXPECT_EQ(Split("deepseek-llm", text),
            (Strings{"Hello", ",", " ", "世界", " ", "99", "\n", " ", " x"}));
  EXPECT_EQ(Split("deepseek-coder", text),
            (Strings{"Hello", ",", " ", "世界", " ", "9", "9", "\n", " ", " x"}));
  ExpectSplits({"deepseek-v3", "hunyuan-dense", "joyai-llm"},
               {{"x=1234 なに!a !b", {"x", "=", "123", "4", " ", "なに", "!a", " !", "b"}}});
  // Its letters are those of scripts with case: Devanagari is in its CJK class instead, and what
  // is in neither stays together.
  EXPECT_EQ(Split("deepseek-llm", "Привет नमस्ते ~ªx"),
            (Strings{"Привет", " ", "नमस्ते", " ~", "ª", "x"}));
  EXPECT_EQ(Split("deepseek-llm", "a  "), (Strings{"a", "  "}));
}

TEST(PreTokenizerTest, KimiK2) {
  ExpectSplits({"kimi-k2"},
               {{"你好world你 fooBar it's 1234/\n",
                 {"你好", "world", "你", " foo", "Bar", " it's", " ", "123", "4", "/\n"}}});
}

TEST(PreTokenizerTest, DigitsInThreesFromTheRight) {
  ExpectSplits({"superbpe"}, {{"two words 1234567.", {"two words ", "1", "234", "567", "."}},
                              {"123 12", {"123", " ", "12"}},
                              {"12²3456", {"12²3", "456"}}});
  ExpectSplits({"tiny_aya"}, {{"a 1234567.", {"a", " ", "1", "234", "567", "."}},
                              {"1234x 12", {"123", "4", "x", " ", "12"}}});
}

TEST(PreTokenizerTest, Bloom) {
  ExpectSplits({"bloom", "poro-chat", "gpt3-finnish"},
               {{"ab, cd 12!x", {"ab", ",", " cd", " 12", "!", "x"}}});
  ExpectSplits({"viking"}, {{"ab, cd 12", {"ab", ",", " cd", " ", "1", "2"}}});
}

TEST(PreTokenizerTest, BrokenBytesStandAlone) {
  EXPECT_EQ(Split("gpt-2", "a\xff\xfe b\xe4\xbd"),
            (Strings{"a", "\xff", "\xfe", " b", "\xe4", "\xbd"}));
}

TEST(PreTokenizerTest, ZeroBytesAreText) {
  const std::string text("a\0\0b", 4);
  EXPECT_EQ(Split("gpt-2", text), (Strings{"a", std::string(2, '\0'), "b"}));
}

TEST(PreTokenizerTest, PiecesAreTheText) {
  std::mt19937 random(7);
  const Strings alphabet = {"a",    "Z",  " ", "  ",     "\n",   "\r", "'",      "s", "1",
                            "\xff", "你", "é", "\u0301", "🦙", "!",  "\u3000", "$", "\t"};
  for (const std::string& name : PreTokenizerNames()) {
    const PreTokenizer pre_tokenizer(Rule(name));
    for (int round = 0; round < 50; ++round) {
      std::string text;
      for (int i = 0; i < 40; ++i) text += alphabet[random() % alphabet.size()];
      const std::vector<absl::string_view> pieces = pre_tokenizer.Split(text);
      EXPECT_EQ(absl::StrJoin(pieces, ""), text) << name;
      for (const absl::string_view piece : pieces) EXPECT_FALSE(piece.empty()) << name;
    }
  }
}

// Quadratic time would be minutes here.
TEST(PreTokenizerTest, LongRunsTakeLinearTime) {
  constexpr size_t kLength = 1 << 18;
  std::set<std::string> rules_seen;
  for (const std::string& name : PreTokenizerNames()) {
    std::string regexes;
    for (const char* stage : Rule(name).stages) absl::StrAppend(&regexes, stage ? stage : "", "\n");
    if (!rules_seen.insert(regexes).second) continue;
    const PreTokenizer pre_tokenizer(Rule(name));
    for (const char* unit : {" ", "\n", "a", "A", "1", "'", "\x01", "\u0301"}) {
      std::string text;
      while (text.size() < kLength) text += unit;
      text += "x";
      size_t size = 0;
      for (const absl::string_view piece : pre_tokenizer.Split(text)) size += piece.size();
      EXPECT_EQ(size, text.size()) << name;
    }
  }
}

TEST(PreTokenizerTest, FlagsOfRules) {
  EXPECT_TRUE(Rule("llama-bpe").ignores_merges);
  EXPECT_TRUE(Rule("llama-bpe").adds_bos);
  EXPECT_FALSE(Rule("qwen2").adds_bos);
  EXPECT_FALSE(Rule("glm4").has_default_bos);
  EXPECT_STREQ(DefaultPreTokenizerRule().name, "default");
}

TEST(PreTokenizerTest, UnknownNamesAreRefused) {
  const absl::Status status = FindPreTokenizerRule("nosuch").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "'nosuch'")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "llama-bpe")) << status;
}

}  // namespace
}  // namespace baton
