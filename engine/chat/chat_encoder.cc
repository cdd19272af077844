#include "engine/chat/chat_encoder.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

constexpr char kTemplateKey[] = "tokenizer.chat_template";

std::string TokenText(const Tokenizer& tokenizer, std::optional<int32_t> id) {
  return id.has_value() ? tokenizer.Piece(*id, /*render_special=*/true) : "";
}

absl::StatusOr<ChatTemplate> ChooseTemplate(const GgufFile& file,
                                            const std::optional<std::string>& name) {
  if (name.has_value()) return ChatTemplate::FromName(*name);
  ASSIGN_OR_RETURN(const std::optional<std::string> text, file.GetString(kTemplateKey));
  if (text.has_value()) return ChatTemplate::FromTemplateText(*text);
  return absl::FailedPreconditionError(
      absl::StrCat(file.path(), " has no ", kTemplateKey,
                   ": it is no model for conversations; it completes raw text, and --chat-template "
                   "names a form"));
}

}  // namespace

absl::StatusOr<ChatEncoder> ChatEncoder::Create(const GgufFile& file, const Tokenizer& tokenizer,
                                                const std::optional<std::string>& template_name) {
  ASSIGN_OR_RETURN(ChatTemplate chat_template, ChooseTemplate(file, template_name));
  chat_template.SetTokens(TokenText(tokenizer, tokenizer.bos()),
                          TokenText(tokenizer, tokenizer.eos()));
  return ChatEncoder(std::move(chat_template), tokenizer);
}

absl::StatusOr<std::vector<int32_t>> ChatEncoder::Encode(
    const std::vector<ChatMessage>& messages) const {
  ASSIGN_OR_RETURN(const std::vector<TextPiece> pieces, template_.RenderPieces(messages));
  // Not the tokenizer's EOS: the model is to go on.
  std::vector<int32_t> ids = tokenizer_->EncodePieces(pieces, /*add_special=*/false);
  const bool wants_bos = tokenizer_->adds_bos() || template_.starts_with_bos();
  if (wants_bos && tokenizer_->bos().has_value()) ids.insert(ids.begin(), *tokenizer_->bos());
  return ids;
}

}  // namespace baton
