#include "engine/tokenizer/stream_decoder.h"

#include <memory>
#include <string>
#include <vector>

#include "engine/tokenizer/vocabulary_tokenizer.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

// Tokens: 0 to 255 are the bytes; then "User:", "</s>" (control) and "é🦙END".
constexpr int32_t kUser = 256;
constexpr int32_t kEnd = 257;
constexpr int32_t kMixed = 258;

std::unique_ptr<Tokenizer> MakeTokenizer() {
  Vocabulary vocabulary;
  vocabulary.model = kSpmModel;
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kHex[] = "0123456789ABCDEF";
    vocabulary.tokens.push_back(std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">");
    vocabulary.types.push_back(TokenType::kByte);
  }
  vocabulary.tokens.insert(vocabulary.tokens.end(), {"User:", "</s>", "é🦙END"});
  vocabulary.types.insert(vocabulary.types.end(),
                          {TokenType::kNormal, TokenType::kControl, TokenType::kNormal});
  auto tokenizer = CreateTokenizer(vocabulary);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return std::move(*tokenizer);
}

std::string PushBytes(StreamDecoder* decoder, const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) text += decoder->Push(static_cast<uint8_t>(byte));
  return text;
}

TEST(StreamDecoderTest, WholeCharactersOnly) {
  const auto tokenizer = MakeTokenizer();
  StreamDecoder decoder(*tokenizer, {});
  EXPECT_EQ(decoder.Push('a'), "a");
  EXPECT_EQ(decoder.Push(0xF0), "");
  EXPECT_EQ(decoder.Push(0x9F), "");
  EXPECT_EQ(decoder.Push(0xA6), "");
  EXPECT_EQ(decoder.Push(0x99), "🦙");
  EXPECT_EQ(decoder.Push(0xC3), "");
  EXPECT_EQ(decoder.Flush(), "\xC3");
  EXPECT_EQ(decoder.Flush(), "");
}

TEST(StreamDecoderTest, HopelessBytesAreNotHeldBack) {
  const auto tokenizer = MakeTokenizer();
  StreamDecoder decoder(*tokenizer, {});
  EXPECT_EQ(decoder.Push(0xFF), "\xFF");
  EXPECT_EQ(decoder.Push(0xE4), "");
  EXPECT_EQ(decoder.Push('a'),
            "\xE4"
            "a");
}

TEST(StreamDecoderTest, CutsTheStopString) {
  const auto tokenizer = MakeTokenizer();
  StreamDecoder decoder(*tokenizer, {"", "\nUser:"});
  EXPECT_EQ(PushBytes(&decoder, "Yes."), "Yes.");
  EXPECT_EQ(decoder.Push('\n'), "");
  EXPECT_FALSE(decoder.stopped());
  EXPECT_EQ(decoder.Push(kUser), "");
  EXPECT_TRUE(decoder.stopped());
  EXPECT_EQ(decoder.stop_string(), "\nUser:");
  EXPECT_EQ(decoder.Push('x'), "");
  EXPECT_EQ(decoder.Flush(), "");
}

TEST(StreamDecoderTest, GivesBackWhatTurnsOutToBeNoStop) {
  const auto tokenizer = MakeTokenizer();
  StreamDecoder decoder(*tokenizer, {"aab"});
  EXPECT_EQ(PushBytes(&decoder, "xaa"), "x");
  EXPECT_EQ(decoder.Push('a'), "a");  // "aa" may still begin it
  EXPECT_EQ(decoder.Push('c'), "aac");
  EXPECT_EQ(PushBytes(&decoder, "aa"), "");
  EXPECT_EQ(decoder.Flush(), "aa");
}

TEST(StreamDecoderTest, TheFirstStopToBeCompletedCounts) {
  const auto tokenizer = MakeTokenizer();
  StreamDecoder decoder(*tokenizer, {"🦙END", "END", "🦙"});
  EXPECT_EQ(decoder.Push(kMixed), "é");
  EXPECT_EQ(decoder.stop_string(), "🦙");
}

TEST(StreamDecoderTest, StopInsideAToken) {
  const auto tokenizer = MakeTokenizer();
  StreamDecoder decoder(*tokenizer, {"se"});
  EXPECT_EQ(decoder.Push(kUser), "U");
  EXPECT_TRUE(decoder.stopped());
}

TEST(StreamDecoderTest, SpecialTokensWhereAsked) {
  const auto tokenizer = MakeTokenizer();
  EXPECT_EQ(StreamDecoder(*tokenizer, {}).Push(kEnd), "");
  EXPECT_EQ(StreamDecoder(*tokenizer, {}, /*render_special=*/true).Push(kEnd), "</s>");
}

TEST(StreamDecoderTest, NothingIsLostOrInvented) {
  const auto tokenizer = MakeTokenizer();
  const std::string text = "aé🦙 \xff ab\nabcabd 漢字\xe6";
  StreamDecoder decoder(*tokenizer, {"abce", "字字", "\n\n"});
  const std::string streamed = PushBytes(&decoder, text);
  EXPECT_EQ(streamed + decoder.Flush(), text);
}

}  // namespace
}  // namespace baton
