// What this project makes of conversations, for tests/e2e/test_chat_templates.py to compare with
// Jinja.
//
// stdin: [{"template": text, "bos": text, "eos": text, "talks": [[[role, content], ...], ...]},
// ...] stdout: per item {"error": text} or {"family": name, "texts": [text, or null where it is
// refused]}.
#include <iostream>
#include <string>
#include <vector>

#include "engine/chat/chat_template.h"
#include "nlohmann/json.hpp"

namespace baton {
namespace {

using nlohmann::json;

json RenderTalk(const ChatTemplate& chat, const std::string& bos, const json& talk) {
  std::vector<ChatMessage> messages;
  for (const json& message : talk) messages.push_back({message.at(0), message.at(1)});
  const absl::StatusOr<std::string> text = chat.Render(messages);
  if (!text.ok()) return nullptr;
  return chat.starts_with_bos() ? bos + *text : *text;
}

json RenderItem(const json& item) {
  absl::StatusOr<ChatTemplate> chat =
      ChatTemplate::FromTemplateText(item.at("template").get<std::string>());
  if (!chat.ok()) return {{"error", std::string(chat.status().message())}};
  const std::string bos = item.at("bos");
  chat->SetTokens(bos, item.at("eos").get<std::string>());
  json result = {{"family", chat->name()}, {"texts", json::array()}};
  for (const json& talk : item.at("talks")) {
    result["texts"].push_back(RenderTalk(*chat, bos, talk));
  }
  return result;
}

}  // namespace
}  // namespace baton

int main() {
  nlohmann::json results = nlohmann::json::array();
  for (const nlohmann::json& item : nlohmann::json::parse(std::cin)) {
    results.push_back(baton::RenderItem(item));
  }
  std::cout << results.dump() << "\n";
  return 0;
}
