#include "engine/tokenizer/vocabulary.h"

#include <cmath>
#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

Vocabulary Good() {
  Vocabulary vocabulary;
  vocabulary.model = kSpmModel;
  vocabulary.tokens = {"<unk>", "<s>", "</s>", "a", "b", "<0x41>"};
  vocabulary.scores = {0, 0, 0, -1, -2, 0};
  vocabulary.types = {TokenType::kUnknown, TokenType::kControl, TokenType::kControl,
                      TokenType::kNormal,  TokenType::kNormal,  TokenType::kByte};
  vocabulary.bos = 1;
  return vocabulary;
}

void ExpectRefused(const Vocabulary& vocabulary, const std::string& words) {
  const absl::Status status = ValidateVocabulary(vocabulary);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), words)) << status;
}

TEST(VocabularyTest, GoodOnesPass) {
  EXPECT_TRUE(ValidateVocabulary(Good()).ok()) << ValidateVocabulary(Good());
  Vocabulary bare = Good();
  bare.scores.clear();
  bare.types.clear();
  EXPECT_TRUE(ValidateVocabulary(bare).ok());
}

TEST(VocabularyTest, EmptyTokensAreLetThrough) {
  Vocabulary vocabulary = Good();
  vocabulary.tokens[3] = vocabulary.tokens[4] = "";
  EXPECT_TRUE(ValidateVocabulary(vocabulary).ok());
}

TEST(VocabularyTest, NoTokens) {
  Vocabulary vocabulary = Good();
  vocabulary.tokens.clear();
  ExpectRefused(vocabulary, "tokenizer.ggml.tokens is empty");
}

TEST(VocabularyTest, ArraysOfOtherLengths) {
  Vocabulary vocabulary = Good();
  vocabulary.scores.pop_back();
  ExpectRefused(vocabulary, "scores has 5 entries for 6 tokens");
  vocabulary = Good();
  vocabulary.types.push_back(TokenType::kNormal);
  ExpectRefused(vocabulary, "token_type has 7 entries for 6 tokens");
}

TEST(VocabularyTest, ScoresThatAreNoNumbers) {
  Vocabulary vocabulary = Good();
  vocabulary.scores[4] = NAN;
  ExpectRefused(vocabulary, "scores[4] is not a number");
}

TEST(VocabularyTest, TokensThatOccurTwice) {
  Vocabulary vocabulary = Good();
  vocabulary.tokens[4] = "a";
  ExpectRefused(vocabulary, "tokens 3 and 4 are both 'a'");
}

TEST(VocabularyTest, ByteTokensThatAreNone) {
  for (const char* text : {"<0x-1>", "<0x4>", "<0x 41>", "<0x4G>", "A", "<0x411>", "<0x+1>"}) {
    Vocabulary vocabulary = Good();
    vocabulary.tokens[5] = text;
    ExpectRefused(vocabulary, "token 5 is a byte token but reads");
  }
}

TEST(VocabularyTest, IdsOutside) {
  Vocabulary vocabulary = Good();
  vocabulary.bos = 6;
  ExpectRefused(vocabulary, "bos_token_id is 6, but the vocabulary has 6 tokens");
  vocabulary = Good();
  vocabulary.end_of_turn = -1;
  ExpectRefused(vocabulary, "eot_token_id is 4294967295");
}

TEST(VocabularyTest, MergesThatAreNoPairs) {
  for (const char* merge : {"", " ", "ab", "a ", " b", "ab "}) {
    Vocabulary vocabulary = Good();
    vocabulary.merges = {"a b", merge};
    ExpectRefused(vocabulary, "merges[1] is '");
  }
}

TEST(VocabularyTest, ParsesByteTokens) {
  EXPECT_EQ(ParseByteToken("<0x00>"), 0);
  EXPECT_EQ(ParseByteToken("<0xfF>"), 255);
  EXPECT_EQ(ParseByteToken("<0x100>"), std::nullopt);
  EXPECT_EQ(ParseByteToken(""), std::nullopt);
}

TEST(VocabularyTest, SplitsMergesAtTheFirstSpaceAfterTheFirstByte) {
  absl::string_view left, right;
  ASSERT_TRUE(SplitMerge("ab c", &left, &right));
  EXPECT_EQ(left, "ab");
  EXPECT_EQ(right, "c");
  ASSERT_TRUE(SplitMerge("  a", &left, &right));
  EXPECT_EQ(left, " ");
  EXPECT_EQ(right, "a");
}

}  // namespace
}  // namespace baton
