#include "engine/tokenizer/tokenizer.h"

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/tokenizer/byte_alphabet.h"
#include "engine/tokenizer/utf8.h"
#include "engine/tokenizer/vocabulary_tokenizer.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using Ids = std::vector<int32_t>;

void Add(Vocabulary* vocabulary, const std::string& token, TokenType type = TokenType::kNormal,
         float score = 0) {
  vocabulary->tokens.push_back(token);
  vocabulary->types.push_back(type);
  vocabulary->scores.push_back(score);
}

// <unk> <s> </s>, bytes 3 to 258, then ▁ a b c (259 to 262), words from 263 on.
Vocabulary Spm(const std::vector<std::pair<std::string, float>>& words = {}) {
  Vocabulary vocabulary;
  vocabulary.model = kSpmModel;
  Add(&vocabulary, "<unk>", TokenType::kUnknown);
  Add(&vocabulary, "<s>", TokenType::kControl);
  Add(&vocabulary, "</s>", TokenType::kControl);
  constexpr char kHex[] = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    Add(&vocabulary, std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">",
        TokenType::kByte);
  }
  for (const char* token : {"▁", "a", "b", "c"}) Add(&vocabulary, token, TokenType::kNormal, -99);
  for (const auto& [word, score] : words) Add(&vocabulary, word, TokenType::kNormal, score);
  return vocabulary;
}
constexpr int32_t kSpmByte = 3;
constexpr int32_t kSpmSpace = 259;
constexpr int32_t kSpmA = 260;
constexpr int32_t kSpmWords = 263;

// Ids 0 to 255 are the bytes; then one token for each merge, in order.
Vocabulary Bpe(const std::vector<std::string>& merges, const std::string& pre = "gpt-2") {
  Vocabulary vocabulary;
  vocabulary.model = kBpeModel;
  vocabulary.pre = pre;
  for (int byte = 0; byte < 256; ++byte) Add(&vocabulary, ByteCharacter(byte));
  for (const std::string& merge : merges) {
    vocabulary.merges.push_back(merge);
    Add(&vocabulary, absl::StrReplaceAll(merge, {{" ", ""}}));
  }
  return vocabulary;
}

std::unique_ptr<Tokenizer> Make(const Vocabulary& vocabulary) {
  auto tokenizer = CreateTokenizer(vocabulary);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return std::move(*tokenizer);
}

constexpr TokenizeOptions kPlain = {/*add_special=*/false, /*parse_special=*/false};
constexpr TokenizeOptions kParse = {/*add_special=*/false, /*parse_special=*/true};
constexpr TokenizeOptions kFull = {/*add_special=*/true, /*parse_special=*/true};

TEST(SpmTokenizerTest, HighestScoreFirst) {
  const auto tokenizer = Make(Spm({{"ab", -1}, {"bc", -2}, {"▁ab", -3}, {"abc", -4}}));
  // ▁|a|b|c: ab (-1), then ▁ab (-3) before abc (-4).
  EXPECT_EQ(tokenizer->Encode("abc", kPlain), (Ids{kSpmWords + 2, 262}));
  const auto other = Make(Spm({{"ab", -2}, {"bc", -1}}));
  EXPECT_EQ(other->Encode("abc", kPlain), (Ids{kSpmSpace, kSpmA, kSpmWords + 1}));
}

TEST(SpmTokenizerTest, TiesGoToTheLeft) {
  const auto tokenizer = Make(Spm({{"aa", -1}}));
  EXPECT_EQ(tokenizer->Encode("aaa", kPlain), (Ids{kSpmSpace, kSpmWords, kSpmA}));
}

TEST(SpmTokenizerTest, BosAndSpacePrefix) {
  Vocabulary vocabulary = Spm({{"▁a", -1}});
  EXPECT_EQ(Make(vocabulary)->Encode("a a", kFull), (Ids{1, kSpmWords, kSpmWords}));
  EXPECT_EQ(Make(vocabulary)->Encode("", kFull), Ids{});
  vocabulary.add_space_prefix = false;
  vocabulary.add_bos = false;
  vocabulary.add_eos = true;
  EXPECT_EQ(Make(vocabulary)->Encode("a a", kFull), (Ids{kSpmA, kSpmWords, 2}));
}

TEST(SpmTokenizerTest, SpecialTokensOnlyWhereParsed) {
  const auto tokenizer = Make(Spm({{"<s", -1}, {"▁a", -1}}));
  EXPECT_EQ(tokenizer->Encode("a<s>a</s>", kParse), (Ids{kSpmWords + 1, 1, kSpmWords + 1, 2}));
  // Merges alone would lead to <s>, which text must not become.
  EXPECT_EQ(tokenizer->Encode("<s>", kPlain), (Ids{kSpmSpace, kSpmWords, kSpmByte + '>'}));
  EXPECT_EQ(tokenizer->Encode("<unk>", kPlain).size(), 6u);
}

TEST(SpmTokenizerTest, Phi3SwallowsSpaceAfterSpecialTokens) {
  Vocabulary vocabulary = Spm({{"▁a", -1}});
  Add(&vocabulary, "<|end|>", TokenType::kControl);
  const int32_t end = kSpmWords + 1;
  EXPECT_EQ(Make(vocabulary)->Encode("<|end|>\na", kParse),
            (Ids{end, kSpmSpace, kSpmByte + '\n', kSpmA}));
  vocabulary.name = "Phi-3-mini-4k";
  EXPECT_EQ(Make(vocabulary)->Encode("<|end|>\na", kParse), (Ids{end, kSpmWords}));
  EXPECT_EQ(Make(vocabulary)->Encode("<s> a", kParse), (Ids{1, kSpmSpace, kSpmWords}));
}

TEST(SpmTokenizerTest, UnknownCharactersBecomeBytes) {
  const auto tokenizer = Make(Spm());
  EXPECT_EQ(tokenizer->Encode("é", kPlain), (Ids{kSpmSpace, kSpmByte + 0xC3, kSpmByte + 0xA9}));
  EXPECT_EQ(tokenizer->Encode("\xFF", kPlain), (Ids{kSpmSpace, kSpmByte + 0xFF}));
}

TEST(SpmTokenizerTest, WithoutBytesTheUnknownToken) {
  Vocabulary vocabulary;
  vocabulary.model = kSpmModel;
  Add(&vocabulary, "<unk>", TokenType::kUnknown);
  Add(&vocabulary, "a");
  vocabulary.add_space_prefix = false;
  const auto tokenizer = Make(vocabulary);
  EXPECT_EQ(tokenizer->Encode("aéa", kPlain), (Ids{1, 0, 1}));
  // The default ids of BOS and EOS are outside.
  EXPECT_EQ(tokenizer->eos(), std::nullopt);
  EXPECT_EQ(tokenizer->Encode("a", kFull), (Ids{1, 1}));
}

TEST(SpmTokenizerTest, PiecesAndDecode) {
  const auto tokenizer = Make(Spm({{"▁a", -1}}));
  EXPECT_EQ(tokenizer->Piece(kSpmWords, false), " a");
  EXPECT_EQ(tokenizer->Piece(kSpmByte + 0xC3, false), "\xC3");
  EXPECT_EQ(tokenizer->Piece(1, false), "");
  EXPECT_EQ(tokenizer->Piece(1, true), "<s>");
  EXPECT_EQ(tokenizer->Piece(-1, true), "");
  EXPECT_EQ(tokenizer->Piece(1 << 20, true), "");
  EXPECT_EQ(tokenizer->Decode({kSpmWords, kSpmWords}, false), "a a");
  EXPECT_EQ(tokenizer->Decode({1, kSpmWords, 2}, false), "a");
  EXPECT_EQ(tokenizer->Decode({1, kSpmWords, 2}, true), "<s>a</s>");
}

TEST(BpeTokenizerTest, LowestRankFirstThenLeftmost) {
  const auto tokenizer = Make(Bpe({"b c", "a b", "a bc", "a a"}));
  EXPECT_EQ(tokenizer->Encode("abc", kPlain), (Ids{258}));
  EXPECT_EQ(tokenizer->Encode("ab", kPlain), (Ids{257}));
  EXPECT_EQ(tokenizer->Encode("aaa", kPlain), (Ids{259, 'a'}));
}

TEST(BpeTokenizerTest, MergesStayInsidePieces) {
  const auto tokenizer = Make(Bpe({"a Ġ", "Ġ b", "Ġb b"}));
  EXPECT_EQ(tokenizer->Encode("a bb", kPlain), (Ids{'a', 258}));
}

TEST(BpeTokenizerTest, TheFirstOfEqualMergesCounts) {
  Vocabulary vocabulary = Bpe({"a b", "b c"});
  vocabulary.merges.push_back("b c");
  vocabulary.merges.insert(vocabulary.merges.begin(), "b c");
  EXPECT_EQ(Make(vocabulary)->Encode("abc", kPlain), (Ids{'a', 257}));
}

TEST(BpeTokenizerTest, MergesThatLeadToNoTokenFallBackToBytes) {
  Vocabulary vocabulary = Bpe({"a b"});
  vocabulary.merges.push_back("ab c");  // "abc" is no token
  const auto tokenizer = Make(vocabulary);
  EXPECT_EQ(tokenizer->Encode("abc", kPlain), (Ids{'a', 'b', 'c'}));
}

TEST(BpeTokenizerTest, MissingBytesAreLeftOut) {
  Vocabulary vocabulary;
  vocabulary.model = kBpeModel;
  vocabulary.pre = "gpt-2";
  Add(&vocabulary, "a");
  EXPECT_EQ(Make(vocabulary)->Encode("aba", kPlain), (Ids{0, 0}));
}

TEST(BpeTokenizerTest, IgnoresMergesWhereTheRuleSaysSo) {
  Vocabulary vocabulary = Bpe({"a b"}, "llama-bpe");
  Add(&vocabulary, "abc");
  vocabulary.bos = 0;
  EXPECT_EQ(Make(vocabulary)->Encode("abc", kPlain), (Ids{257}));
  EXPECT_TRUE(Make(vocabulary)->adds_bos());
  vocabulary.pre = "qwen2";
  EXPECT_EQ(Make(vocabulary)->Encode("abc", kPlain), (Ids{256, 'c'}));
  EXPECT_FALSE(Make(vocabulary)->adds_bos());
}

TEST(BpeTokenizerTest, UserDefinedTokensAreCutOutOfPlainText) {
  Vocabulary vocabulary = Bpe({"a b"});
  Add(&vocabulary, "  ", TokenType::kUserDefined);
  Add(&vocabulary, "<|im_end|>", TokenType::kControl);
  const auto tokenizer = Make(vocabulary);
  EXPECT_EQ(tokenizer->Encode("ab  ab", kPlain), (Ids{256, 257, 256}));
  EXPECT_EQ(tokenizer->Encode("ab<|im_end|>", kParse), (Ids{256, 258}));
  EXPECT_EQ(tokenizer->Encode("<|im_end|>", kPlain).size(), 10u);
  EXPECT_EQ(tokenizer->Piece(257, false), "  ");
}

TEST(BpeTokenizerTest, MissingPreTokenizerIsTheDefaultOne) {
  Vocabulary vocabulary = Bpe({});
  EXPECT_FALSE(Make(vocabulary)->lacks_pre_tokenizer());
  vocabulary.pre.reset();
  EXPECT_TRUE(Make(vocabulary)->lacks_pre_tokenizer());
}

TEST(TokenizerTest, UsersCannotWriteSpecialTokens) {
  Vocabulary vocabulary = Bpe({"a b"});
  Add(&vocabulary, "<|e|>", TokenType::kControl);
  const auto tokenizer = Make(vocabulary);
  const Ids plain = tokenizer->Encode("<|e|>", kPlain);
  Ids expected = {257, 256};
  expected.insert(expected.end(), plain.begin(), plain.end());
  expected.push_back(257);
  EXPECT_EQ(tokenizer->EncodePieces({{"<|e|>a"}, {"b<|e|>", false}, {"<|e|>"}}, false), expected);
  // Nor finish one that a template began.
  EXPECT_EQ(tokenizer->EncodePieces({{"<|e"}, {"|>", false}}, false), plain);
  // Where users write none, the pieces are as good as the whole.
  EXPECT_EQ(tokenizer->EncodePieces({{"<|"}, {"e|>a"}, {"b", false}}, false), (Ids{257, 256}));
}

TEST(TokenizerTest, BytesAndUnicodeComeBack) {
  Vocabulary bpe = Bpe({"Ġ a", "a a", "Ã ©"}, "llama-bpe");
  bpe.add_bos = false;
  const std::unique_ptr<Tokenizer> tokenizers[] = {Make(Spm({{"▁a", -1}, {"aa", -2}})), Make(bpe)};
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::string bytes, unicode;
    for (int i = 0; i < 50; ++i) {
      bytes.push_back(static_cast<char>(random()));
      const uint32_t code_point = random() % (i % 2 == 0 ? 0x300 : 0x110000);
      if (code_point < 0xD800 || code_point > 0xDFFF) AppendUtf8(code_point, &unicode);
    }
    for (const auto& tokenizer : tokenizers) {
      for (const std::string& text : {bytes, unicode}) {
        // U+2581 is SPM's own writing of a space.
        if (absl::StrContains(text, "\u2581")) continue;
        ASSERT_EQ(tokenizer->Decode(tokenizer->Encode(text, kFull), false), text);
      }
    }
  }
}

TEST(TokenizerTest, AVeryLongWord) {
  const std::string word(1 << 18, 'a');
  EXPECT_EQ(Make(Bpe({"a a", "aa aa"}))->Encode(word, kPlain).size(), word.size() / 4);
  EXPECT_EQ(Make(Spm({{"aa", -1}, {"aaaa", -2}}))->Encode(word, kPlain).size(),
            word.size() / 4 + 1);
}

TEST(TokenizerTest, EndOfGeneration) {
  Vocabulary vocabulary = Bpe({});
  Add(&vocabulary, "<|im_end|>");  // 256: a marker that the file calls ordinary text
  Add(&vocabulary, "<|endoftext|>", TokenType::kControl);
  Add(&vocabulary, "<|im_start|>", TokenType::kControl);
  Add(&vocabulary, "<stop>", TokenType::kControl);
  Add(&vocabulary, "<file_sep>", TokenType::kControl);
  Add(&vocabulary, "<reponame>", TokenType::kControl);
  vocabulary.eos = 259;
  vocabulary.end_of_turn = 7;
  const auto tokenizer = Make(vocabulary);
  EXPECT_EQ(tokenizer->EndOfGenerationIds(), (Ids{7, 256, 257, 259, 261}));
  EXPECT_TRUE(tokenizer->IsEndOfGeneration(256));
  EXPECT_FALSE(tokenizer->IsEndOfGeneration(258));
  EXPECT_TRUE(tokenizer->IsControl(256));
  EXPECT_EQ(tokenizer->Piece(256, false), "");
}

TEST(TokenizerTest, GlmEndsWhereOthersBegin) {
  Vocabulary vocabulary = Bpe({});
  for (const char* token : {"<|endoftext|>", "<|user|>", "<|observation|>", "<|assistant|>"}) {
    Add(&vocabulary, token, TokenType::kControl);
  }
  vocabulary.eos = 256;
  EXPECT_EQ(Make(vocabulary)->EndOfGenerationIds(), (Ids{256}));
  Add(&vocabulary, "[gMASK]", TokenType::kControl);
  EXPECT_EQ(Make(vocabulary)->EndOfGenerationIds(), (Ids{256, 257, 258}));
}

TEST(TokenizerTest, HarmonyGoesOnAfterAMessage) {
  Vocabulary vocabulary = Bpe({});
  for (const char* token : {"<|end|>", "<|return|>", "<|call|>", "<|channel|>"}) {
    Add(&vocabulary, token, TokenType::kControl);
  }
  vocabulary.eos = 257;
  const auto tokenizer = Make(vocabulary);
  EXPECT_EQ(tokenizer->EndOfGenerationIds(), (Ids{257, 258}));
  EXPECT_EQ(tokenizer->Piece(256, false), "<|end|>");
  EXPECT_EQ(tokenizer->Piece(259, false), "<|channel|>");
}

TEST(TokenizerTest, VocabulariesWithoutTypes) {
  Vocabulary vocabulary = Spm({{"▁a", -1}});
  vocabulary.types.clear();
  EXPECT_EQ(Make(vocabulary)->EndOfGenerationIds(), (Ids{2}));
  EXPECT_EQ(Make(vocabulary)->Encode("aé", kFull),
            (Ids{1, kSpmWords, kSpmByte + 0xC3, kSpmByte + 0xA9}));
}

TEST(TokenizerTest, EmptyTokensMatchNothing) {
  Vocabulary vocabulary = Bpe({});
  Add(&vocabulary, "", TokenType::kUserDefined);
  Add(&vocabulary, "", TokenType::kControl);
  EXPECT_EQ(Make(vocabulary)->Encode("ab", kFull), (Ids{'a', 'b'}));
}

void ExpectRefused(const Vocabulary& vocabulary, absl::StatusCode code, const std::string& words) {
  const absl::Status status = CreateTokenizer(vocabulary).status();
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), words)) << status;
}

TEST(TokenizerTest, Refusals) {
  Vocabulary vocabulary = Bpe({}, "nosuch");
  ExpectRefused(vocabulary, absl::StatusCode::kFailedPrecondition, "'nosuch'");
  vocabulary = Bpe({});
  vocabulary.model = "bert";
  ExpectRefused(vocabulary, absl::StatusCode::kFailedPrecondition, "'bert'; known are");
  vocabulary = Bpe({});
  vocabulary.tokens[5] = "a";
  ExpectRefused(vocabulary, absl::StatusCode::kInvalidArgument, "are both 'a'");
  vocabulary = Bpe({}, "glm4");
  vocabulary.add_bos = true;
  ExpectRefused(vocabulary, absl::StatusCode::kInvalidArgument, "add_bos_token is true, but");
}

}  // namespace
}  // namespace baton
