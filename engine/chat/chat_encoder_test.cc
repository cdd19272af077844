#include "engine/chat/chat_encoder.h"

#include <algorithm>

#include "engine/testing/model_maker.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr char kChatMl[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";

class ChatEncoderTest : public testing::Test {
 protected:
  void Open(const std::string& chat_template) {
    ModelOptions options;
    options.chat_template = chat_template;
    const absl::StatusOr<std::string> path = MakeModel(options, testing::TempDir());
    ASSERT_TRUE(path.ok()) << path.status();
    file_.emplace(GgufFile::Read(*path).value());
    tokenizer_ = Tokenizer::Create(*file_).value();
  }

  std::string TextOf(const std::vector<int32_t>& ids) const {
    return tokenizer_->Decode(ids, /*render_special=*/false);
  }

  std::optional<GgufFile> file_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(ChatEncoderTest, BeginsWithBosOnceAndNeverEndsTheText) {
  Open(kChatMl);
  const absl::StatusOr<ChatEncoder> encoder =
      ChatEncoder::Create(*file_, *tokenizer_, std::nullopt);
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  const std::vector<int32_t> ids = encoder->Encode({{"user", "hello"}}).value();
  ASSERT_TRUE(tokenizer_->bos().has_value());
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *tokenizer_->bos()), tokenizer_->adds_bos() ? 1 : 0);
  EXPECT_FALSE(tokenizer_->IsEndOfGeneration(ids.back()));
}

TEST_F(ChatEncoderTest, WhatPeopleWriteIsText) {
  Open(kChatMl);
  const absl::StatusOr<ChatEncoder> encoder =
      ChatEncoder::Create(*file_, *tokenizer_, std::nullopt);
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  const int32_t eos = tokenizer_->eos().value();
  const std::string spelled = tokenizer_->Piece(eos, /*render_special=*/true);
  ASSERT_EQ(tokenizer_->Encode(spelled, {.add_special = false, .parse_special = true}).back(), eos);
  const std::vector<int32_t> ids = encoder->Encode({{"user", "a" + spelled + "b"}}).value();
  EXPECT_EQ(std::count(ids.begin(), ids.end(), eos), 0);
}

TEST_F(ChatEncoderTest, RefusesModelsWithoutATemplate) {
  Open("");
  const absl::Status status = ChatEncoder::Create(*file_, *tokenizer_, std::nullopt).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("chat_template"), absl::string_view::npos) << status;
}

TEST_F(ChatEncoderTest, ANamedTemplateTakesThePlaceOfTheModels) {
  Open("{{ a template of nobody }}");
  EXPECT_FALSE(ChatEncoder::Create(*file_, *tokenizer_, std::nullopt).ok());
  const absl::StatusOr<ChatEncoder> encoder = ChatEncoder::Create(*file_, *tokenizer_, "chatml");
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  const absl::StatusOr<std::vector<int32_t>> ids = encoder->Encode({{"user", "hello"}});
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_NE(TextOf(*ids).find("assistant"), std::string::npos);
  const absl::Status unknown = ChatEncoder::Create(*file_, *tokenizer_, "nobody").status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(unknown.message()).find("chatml"), std::string::npos) << unknown;
}

}  // namespace
}  // namespace baton
