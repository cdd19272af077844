// From a conversation to the prompt text that a model was trained on.
//
// The template is recognised by its own text (tokenizer.chat_template) as one of the families
// below; an unknown one is an error that lists the names which --chat-template takes.
#ifndef BATON_ENGINE_CHAT_CHAT_TEMPLATE_H_
#define BATON_ENGINE_CHAT_CHAT_TEMPLATE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/chat/chat_families.h"
#include "engine/chat/thought_splitter.h"
#include "engine/tokenizer/text_piece.h"

namespace baton {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// Immutable, so thread-safe; cheap to copy.
class ChatTemplate {
 public:
  // From the template's text as it stands in the file. FailedPrecondition when it is not
  // recognised.
  static absl::StatusOr<ChatTemplate> FromTemplateText(absl::string_view text);
  // "chatml", "llama2", "llama3", "zephyr", "gemma", ...; InvalidArgument lists the names.
  static absl::StatusOr<ChatTemplate> FromName(absl::string_view name);
  static std::vector<std::string> Names();

  // The texts of the model's own BOS and EOS tokens, which some families write between turns.
  // Empty ones leave the family's usual ones in place.
  void SetTokens(absl::string_view bos, absl::string_view eos);

  std::string name() const { return family_.name; }
  // The system message that the template brings along for conversations without one.
  const std::optional<std::string>& default_system() const { return default_system_; }
  // The template starts with BOS. Render leaves it out: it is for the caller to add the id where
  // the tokenizer does not do so itself.
  bool starts_with_bos() const { return starts_with_bos_; }

  // How an answer's thoughts can be told from what it says.
  ThoughtMarks thought_marks() const;

  // The conversation, and the opening of the assistant's turn. InvalidArgument where the roles are
  // unknown, or in an order that the family can't express: in some, a system message comes first
  // or not at all.
  absl::StatusOr<std::string> Render(const std::vector<ChatMessage>& messages) const;
  // The same text in pieces for Tokenizer::EncodePieces: messages are plain text in it, whatever
  // special tokens they spell.
  absl::StatusOr<std::vector<TextPiece>> RenderPieces(
      const std::vector<ChatMessage>& messages) const;

 private:
  explicit ChatTemplate(const ChatFamily& family);

  ChatFamily family_;  // of the table, but for trims that this text does not make
  std::optional<std::string> default_system_;
  std::string bos_;
  std::string eos_;
  bool starts_with_bos_;
};

}  // namespace baton

#endif  // BATON_ENGINE_CHAT_CHAT_TEMPLATE_H_
