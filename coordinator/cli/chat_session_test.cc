#include "coordinator/cli/chat_session.h"

#include "engine/testing/model_maker.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(ChatSessionTest, WritesTheWholeConversation) {
  const absl::StatusOr<std::string> path = MakeModel(ModelOptions(), testing::TempDir());
  ASSERT_TRUE(path.ok()) << path.status();
  const GgufFile file = GgufFile::Read(*path).value();
  const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::Create(file).value();
  absl::StatusOr<ChatSession> session =
      ChatSession::Create(file, *tokenizer, "be kind", /*template_name=*/"chatml");
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_TRUE(session->Ask("hello").ok());
  session->Answered("good day");
  const absl::StatusOr<std::vector<int32_t>> ids = session->Ask("and now");
  ASSERT_TRUE(ids.ok()) << ids.status();
  const std::string text = tokenizer->Decode(*ids, /*render_special=*/false);
  size_t at = 0;
  for (const std::string part : {"be kind", "hello", "good day", "and now", "assistant"}) {
    at = text.find(part, at);
    ASSERT_NE(at, std::string::npos) << part << " in " << text;
  }
}

}  // namespace
}  // namespace baton
