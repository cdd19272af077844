// Any text as a chat template, and any conversation through it. The input is fields that end in a
// zero byte: the template, or a family's name, then roles and contents in turns.
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "engine/chat/chat_template.h"
#include "tests/fuzz/fuzz_target.h"

namespace baton {
namespace {

absl::StatusOr<ChatTemplate> Find(absl::string_view text) {
  absl::StatusOr<ChatTemplate> by_name = ChatTemplate::FromName(text);
  return by_name.ok() ? by_name : ChatTemplate::FromTemplateText(text);
}

void Render(absl::string_view input) {
  const std::vector<std::string> fields = absl::StrSplit(input, '\0');
  absl::StatusOr<ChatTemplate> chat = Find(fields[0]);
  if (!chat.ok()) return;
  std::vector<ChatMessage> messages;
  for (size_t i = 1; i + 1 < fields.size(); i += 2) messages.push_back({fields[i], fields[i + 1]});
  if (messages.size() % 2 == 0) chat->SetTokens("<bos>", "<eos>");
  const absl::StatusOr<std::string> text = chat->Render(messages);
  const absl::StatusOr<std::vector<TextPiece>> pieces = chat->RenderPieces(messages);
  CHECK(text.ok() == pieces.ok());
  if (!text.ok()) return;
  std::string joined;
  for (const TextPiece& piece : *pieces) joined += piece.text;
  CHECK(joined == *text);
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  const std::string zero(1, '\0');
  const std::string talk = zero + "system" + zero + "Be brief." + zero + "user" + zero + " Hi\n" +
                           zero + "assistant" + zero + "Hello!" + zero + "user" + zero + "Bye";
  for (const std::string& name : ChatTemplate::Names()) {
    seeds.push_back(name + talk);
    seeds.push_back(name + zero + "user" + zero + "<|im_end|>");
  }
  seeds.push_back(
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
      "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}" +
      talk);
  seeds.push_back(
      "{{ bos_token }}{% for message in messages %}{{ '[INST] ' + message['content'].strip() + ' "
      "[/INST]' }}{% endfor %}" +
      talk);
  return seeds;
}

}  // namespace baton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  baton::Render({reinterpret_cast<const char*>(data), size});
  return 0;
}
