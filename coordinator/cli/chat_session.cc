#include "coordinator/cli/chat_session.h"

#include <utility>

#include "engine/base/status_macros.h"

namespace baton {

absl::StatusOr<ChatSession> ChatSession::Create(const GgufFile& file, const Tokenizer& tokenizer,
                                                const std::optional<std::string>& system,
                                                const std::optional<std::string>& template_name) {
  ASSIGN_OR_RETURN(ChatEncoder encoder, ChatEncoder::Create(file, tokenizer, template_name));
  ChatSession session(std::move(encoder));
  if (system.has_value()) session.messages_.push_back({"system", *system});
  return session;
}

absl::StatusOr<std::vector<int32_t>> ChatSession::Ask(std::string text) {
  messages_.push_back({"user", std::move(text)});
  return encoder_.Encode(messages_);
}

void ChatSession::Withdraw() { messages_.pop_back(); }

void ChatSession::Answered(std::string text) {
  messages_.push_back({"assistant", std::move(text)});
}

}  // namespace baton
