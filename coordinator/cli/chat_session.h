// A conversation in the terminal.
#ifndef BATON_COORDINATOR_CLI_CHAT_SESSION_H_
#define BATON_COORDINATOR_CLI_CHAT_SESSION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/chat/chat_encoder.h"
#include "engine/gguf/gguf_file.h"
#include "engine/tokenizer/tokenizer.h"

namespace baton {

// What was said so far, as the model's own template writes it. Not thread-safe.
class ChatSession {
 public:
  // Errors of ChatEncoder::Create().
  static absl::StatusOr<ChatSession> Create(
      const GgufFile& file, const Tokenizer& tokenizer, const std::optional<std::string>& system,
      const std::optional<std::string>& template_name = std::nullopt);

  // The ids of the whole conversation with `text` as the user's next message, up to where the model
  // begins to answer. Special tokens in what people wrote are ordinary text.
  absl::StatusOr<std::vector<int32_t>> Ask(std::string text);
  // Takes back the user's last message, which got no answer.
  void Withdraw();
  // What the model answered.
  void Answered(std::string text);

 private:
  explicit ChatSession(ChatEncoder encoder) : encoder_(std::move(encoder)) {}

  ChatEncoder encoder_;
  std::vector<ChatMessage> messages_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_CHAT_SESSION_H_
