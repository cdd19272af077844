// From a conversation to the prompt text that a model was trained on.
//
// The template is recognised by its own text (tokenizer.chat_template) as one of the families
// below; an unknown one is an error that lists the names which --chat-template takes.
#ifndef BATON_ENGINE_CHAT_CHAT_TEMPLATE_H_
#define BATON_ENGINE_CHAT_CHAT_TEMPLATE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

class ChatTemplate {
 public:
  // From the template's text as it stands in the file. FailedPrecondition when it is not
  // recognised.
  static absl::StatusOr<ChatTemplate> FromTemplateText(absl::string_view text);
  // "chatml", "llama2", "llama3", "zephyr", "gemma", ...; InvalidArgument lists the names.
  static absl::StatusOr<ChatTemplate> FromName(absl::string_view name);

  const std::string& name() const { return name_; }
  // The conversation, and the opening of the assistant's turn. BOS is not part of it where the
  // tokenizer adds one. InvalidArgument where the roles are in an order the family can't express.
  absl::StatusOr<std::string> Render(const std::vector<ChatMessage>& messages) const;

 private:
  std::string name_;
  std::string default_system_;  // inserted where the conversation brings no system message
};

}  // namespace baton

#endif  // BATON_ENGINE_CHAT_CHAT_TEMPLATE_H_
