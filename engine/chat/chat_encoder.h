// From a conversation to the token ids of a prompt.
#ifndef BATON_ENGINE_CHAT_CHAT_ENCODER_H_
#define BATON_ENGINE_CHAT_CHAT_ENCODER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/chat/chat_template.h"
#include "engine/gguf/gguf_file.h"
#include "engine/tokenizer/tokenizer.h"

namespace baton {

// A model's template and tokenizer together. Immutable, so thread-safe; cheap to copy.
class ChatEncoder {
 public:
  // By the template of this name, or else the file's own. `tokenizer` outlives this.
  // FailedPrecondition when the file has none or one that is not recognised; InvalidArgument for a
  // name that no family has.
  static absl::StatusOr<ChatEncoder> Create(const GgufFile& file, const Tokenizer& tokenizer,
                                            const std::optional<std::string>& template_name);

  // Of ChatTemplate.
  ThoughtMarks thought_marks() const { return template_.thought_marks(); }

  // The whole conversation, up to where the model begins to answer. Special tokens in what people
  // wrote are ordinary text. Errors of ChatTemplate::Render().
  absl::StatusOr<std::vector<int32_t>> Encode(const std::vector<ChatMessage>& messages) const;

 private:
  ChatEncoder(ChatTemplate chat_template, const Tokenizer& tokenizer)
      : template_(std::move(chat_template)), tokenizer_(&tokenizer) {}

  ChatTemplate template_;
  const Tokenizer* tokenizer_;
};

}  // namespace baton

#endif  // BATON_ENGINE_CHAT_CHAT_ENCODER_H_
