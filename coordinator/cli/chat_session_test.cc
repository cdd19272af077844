#include "coordinator/cli/chat_session.h"

#include "engine/testing/model_maker.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr char kChatMl[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";

class ChatSessionTest : public testing::Test {
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

TEST_F(ChatSessionTest, WritesTheWholeConversation) {
  Open(kChatMl);
  absl::StatusOr<ChatSession> session = ChatSession::Create(*file_, *tokenizer_, "be kind");
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_TRUE(session->Ask("hello").ok());
  session->Answered("good day");
  const absl::StatusOr<std::vector<int32_t>> ids = session->Ask("and now");
  ASSERT_TRUE(ids.ok()) << ids.status();
  const std::string text = TextOf(*ids);
  size_t at = 0;
  for (const std::string part : {"be kind", "hello", "good day", "and now", "assistant"}) {
    at = text.find(part, at);
    ASSERT_NE(at, std::string::npos) << part << " in " << text;
  }
}

}  // namespace
}  // namespace baton
