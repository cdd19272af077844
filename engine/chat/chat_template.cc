#include "engine/chat/chat_template.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/base/status_macros.h"

namespace baton {

// {bos} and {eos} stand for the model's tokens.
struct TurnForm {
  const char* open;
  const char* close;
  bool trims = false;  // white space at both ends of the message is dropped
};

enum class SystemPlace {
  kOwnTurn,
  kFirstUser,  // written before the text of the first user turn
  kLastUser,   // before that of the last one
};

// Sources: the chat_template of the models' published tokenizer_config.json, as Jinja renders it
// with trim_blocks and lstrip_blocks.
struct ChatFamily {
  const char* name;
  TurnForm system;
  TurnForm user;
  TurnForm assistant;
  const char* answer;  // opens the turn that the model is to write
  SystemPlace place = SystemPlace::kOwnTurn;
  bool alternates = false;  // after the system message strictly user, assistant, user ...
  bool starts_with_bos = false;
  const char* bos = "<s>";
  const char* eos = "</s>";
  const char* system_preface = nullptr;  // opens the system turn, which is then never left out
  bool trims_joined = false;  // a user's text is trimmed together with the system's before it
};

namespace {

constexpr char kLlama31Preface[] =
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";

constexpr ChatFamily kFamilies[] = {
    {"chatml",
     {"<|im_start|>system\n", "<|im_end|>\n"},
     {"<|im_start|>user\n", "<|im_end|>\n"},
     {"<|im_start|>assistant\n", "<|im_end|>\n"},
     "<|im_start|>assistant\n"},
    {"llama2",
     {"<<SYS>>\n", "\n<</SYS>>\n\n"},
     {"{bos}[INST] ", " [/INST]", true},
     {" ", " {eos}", true},
     "",
     SystemPlace::kFirstUser,
     /*alternates=*/true,
     /*starts_with_bos=*/true,
     "<s>",
     "</s>",
     nullptr,
     /*trims_joined=*/true},
    {"llama3",
     {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>", true},
     {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>", true},
     {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>", true},
     "<|start_header_id|>assistant<|end_header_id|>\n\n",
     SystemPlace::kOwnTurn,
     false,
     true,
     "<|begin_of_text|>",
     "<|eot_id|>"},
    {"llama3.1",
     {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>", true},
     {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>", true},
     {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>", true},
     "<|start_header_id|>assistant<|end_header_id|>\n\n",
     SystemPlace::kOwnTurn,
     false,
     true,
     "<|begin_of_text|>",
     "<|eot_id|>",
     kLlama31Preface},
    {"zephyr",
     {"<|system|>\n", "{eos}\n"},
     {"<|user|>\n", "{eos}\n"},
     {"<|assistant|>\n", "{eos}\n"},
     "<|assistant|>\n"},
    {"gemma",
     {"", "\n\n"},
     {"<start_of_turn>user\n", "<end_of_turn>\n", true},
     {"<start_of_turn>model\n", "<end_of_turn>\n", true},
     "<start_of_turn>model\n",
     SystemPlace::kFirstUser,
     true,
     true,
     "<bos>",
     "<eos>"},
    {"mistral-v0.1",
     {"", "\n\n"},
     {"[INST] ", " [/INST]"},
     {"", "{eos} "},
     "",
     SystemPlace::kFirstUser,
     true,
     true},
    {"mistral-v0.2",
     {"", "\n\n"},
     {"[INST] ", " [/INST]"},
     {"", "{eos}"},
     "",
     SystemPlace::kFirstUser,
     true,
     true},
    {"mistral-v1",
     {"", "\n\n"},
     {" [INST] ", " [/INST]"},
     {" ", "{eos}"},
     "",
     SystemPlace::kFirstUser,
     true,
     true},
    {"mistral-v3",
     {"", "\n\n"},
     {"[INST] ", "[/INST]"},
     {" ", "{eos}", true},
     "",
     SystemPlace::kLastUser,
     true,
     true},
    {"mistral-v3-tekken",
     {"", "\n\n"},
     {"[INST]", "[/INST]"},
     {"", "{eos}"},
     "",
     SystemPlace::kLastUser,
     true,
     true},
    {"mistral-v7",
     {"[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"},
     {"[INST] ", "[/INST]"},
     {" ", "{eos}"},
     "",
     SystemPlace::kOwnTurn,
     false,
     true},
    {"phi3",
     {"<|system|>\n", "<|end|>\n"},
     {"<|user|>\n", "<|end|>\n"},
     {"<|assistant|>\n", "<|end|>\n"},
     "<|assistant|>\n"},
    {"phi4",
     {"<|im_start|>system<|im_sep|>", "<|im_end|>"},
     {"<|im_start|>user<|im_sep|>", "<|im_end|>"},
     {"<|im_start|>assistant<|im_sep|>", "<|im_end|>"},
     "<|im_start|>assistant<|im_sep|>"},
    {"command-r",
     {"<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>", "<|END_OF_TURN_TOKEN|>"},
     {"<|START_OF_TURN_TOKEN|><|USER_TOKEN|>", "<|END_OF_TURN_TOKEN|>", true},
     {"<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>", true},
     "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
     SystemPlace::kOwnTurn,
     true,
     true},
    {"openchat",
     {"GPT4 Correct System: ", "<|end_of_turn|>"},
     {"GPT4 Correct User: ", "<|end_of_turn|>"},
     {"GPT4 Correct Assistant: ", "<|end_of_turn|>"},
     "GPT4 Correct Assistant:",
     SystemPlace::kOwnTurn,
     false,
     true},
};

const ChatFamily* FindFamily(absl::string_view name) {
  for (const ChatFamily& family : kFamilies) {
    if (name == family.name) return &family;
  }
  return nullptr;
}

std::string NameList() { return absl::StrJoin(ChatTemplate::Names(), ", "); }

// Whether a Jinja text has this text in one of its strings: line feeds may be escaped there.
bool HasText(absl::string_view jinja, absl::string_view text) {
  return absl::StrContains(jinja, text) ||
         absl::StrContains(jinja, absl::StrReplaceAll(text, {{"\n", "\\n"}}));
}

absl::string_view MistralName(absl::string_view text) {
  if (absl::StrContains(text, "[SYSTEM_PROMPT]")) {
    // Later templates come with a system message of their own, made with the day's date.
    const bool is_v7 = absl::StrContains(text, "'[SYSTEM_PROMPT] '") &&
                       !absl::StrContains(text, "default_system_message");
    return is_v7 ? "mistral-v7" : "";
  }
  if (absl::StrContains(text, "' [INST] '")) return "mistral-v1";
  if (absl::StrContains(text, "\"[INST] \"")) return "mistral-v3";
  if (absl::StrContains(text, "\"[INST]\"")) return "mistral-v3-tekken";
  if (!absl::StrContains(text, "'[INST] '")) return "";
  return absl::StrContains(text, "eos_token + ' '") ? "mistral-v0.1" : "mistral-v0.2";
}

// Marks of templates that use a family's tokens and say more with them: agents that list their
// functions, models that are made to think first, SmolVLM, SmolLM3.
constexpr absl::string_view kStrangersMarks[] = {"<end_of_utterance>",
                                                 "## Metadata",
                                                 "function calling AI model",
                                                 "recipient",
                                                 "functools",
                                                 "<think>\n' }}",
                                                 "<|im_start|>assistant\n<think>",
                                                 "[BEGIN FINAL RESPONSE]"};

// The family that a template's text belongs to; empty if none.
absl::string_view RecognizeFamily(absl::string_view text) {
  const auto has = [text](absl::string_view mark) { return HasText(text, mark); };
  if (std::any_of(std::begin(kStrangersMarks), std::end(kStrangersMarks), has)) return "";
  if (has("<|im_start|>")) return has("<|im_sep|>") ? "phi4" : "chatml";
  if (has("<<SYS>>")) {
    return has("<<SYS>>\n' + system_message") && has("bos_token + '[INST] '") ? "llama2" : "";
  }
  if (has("[INST]")) return MistralName(text);
  if (has("<|start_header_id|>")) {
    if (has("Today Date: ")) return "llama3.1";
    return has("Cutting Knowledge Date") ? "" : "llama3";
  }
  if (has("<start_of_turn>")) return "gemma";
  if (has("<|START_OF_TURN_TOKEN|>")) return has("<|SYSTEM_TOKEN|>' + system") ? "command-r" : "";
  if (has("GPT4 Correct ")) return "openchat";
  if (has("<|end|>") && has("<|assistant|>")) return "phi3";
  if (has("<|user|>\n") && has("<|assistant|>") && absl::StrContains(text, "eos_token }}\n")) {
    return "zephyr";
  }
  return "";
}

// The system message that a ChatML template brings along, out of its string
// '<|im_start|>system\n...<|im_end|>'; empty if it has none.
std::string FindDefaultSystem(absl::string_view text) {
  constexpr absl::string_view kOpen = "<|im_start|>system";
  for (size_t at = text.find(kOpen); at != absl::string_view::npos; at = text.find(kOpen, at + 1)) {
    absl::string_view rest = text.substr(at + kOpen.size());
    rest = rest.substr(0, rest.find("<|im_end|>"));
    const bool is_escaped = absl::StartsWith(rest, "\\n");
    if (!is_escaped && !absl::StartsWith(rest, "\n")) continue;
    rest.remove_prefix(is_escaped ? 2 : 1);
    // A string that ends here goes on with an expression: no literal.
    const bool is_literal = !absl::StrContains(rest, "' +") && !absl::StrContains(rest, "'+") &&
                            !absl::StrContains(rest, "\" +") && !absl::StrContains(rest, "' }") &&
                            !absl::StrContains(rest, "'}") && !absl::StrContains(rest, "{{");
    if (!rest.empty() && is_literal) {
      return absl::StrReplaceAll(rest, {{"\\n", "\n"}, {"\\'", "'"}, {"\\\"", "\""}});
    }
  }
  return "";
}

// Python's str.strip(), which is what Jinja's trim does: the characters of str.isspace().
constexpr absl::string_view kSpaces[] = {"\t",     "\n",     "\v",     "\f",     "\r",     "\x1c",
                                         "\x1d",   "\x1e",   "\x1f",   " ",      "\u0085", "\u00a0",
                                         "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004",
                                         "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
                                         "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};

absl::string_view TrimLeft(absl::string_view text) {
  const auto strips = [&text](absl::string_view space) {
    if (!absl::StartsWith(text, space)) return false;
    text.remove_prefix(space.size());
    return true;
  };
  while (std::any_of(std::begin(kSpaces), std::end(kSpaces), strips)) continue;
  return text;
}

absl::string_view TrimRight(absl::string_view text) {
  const auto strips = [&text](absl::string_view space) {
    if (!absl::EndsWith(text, space)) return false;
    text.remove_suffix(space.size());
    return true;
  };
  while (std::any_of(std::begin(kSpaces), std::end(kSpaces), strips)) continue;
  return text;
}

// Collects pieces, neighbours of one kind in one.
class PieceWriter {
 public:
  PieceWriter(absl::string_view bos, absl::string_view eos) : bos_(bos), eos_(eos) {}

  void AddForm(absl::string_view form) {
    Add(absl::StrReplaceAll(form, {{"{bos}", bos_}, {"{eos}", eos_}}), true);
  }
  void AddMessage(absl::string_view content) { Add(content, false); }
  std::vector<TextPiece> Take() { return std::move(pieces_); }

 private:
  void Add(absl::string_view text, bool parse_special) {
    if (text.empty()) return;
    if (pieces_.empty() || pieces_.back().parse_special != parse_special) {
      pieces_.push_back({"", parse_special});
    }
    pieces_.back().text.append(text.data(), text.size());
  }

  const absl::string_view bos_;
  const absl::string_view eos_;
  std::vector<TextPiece> pieces_;
};

absl::Status CheckRoles(const ChatFamily& family, const std::vector<ChatMessage>& messages) {
  if (messages.empty()) return absl::InvalidArgumentError("the conversation has no messages");
  const size_t first_turn = messages[0].role == "system" ? 1 : 0;
  const bool joins_system = family.place != SystemPlace::kOwnTurn;
  if (joins_system && first_turn == messages.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "chat template '", family.name, "' needs a user message beside the system message"));
  }
  for (size_t i = first_turn; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role != "user" && role != "assistant") {
      return absl::InvalidArgumentError(absl::StrCat(
          "message ", i + 1, " has role '", role,
          "', expected 'user' or 'assistant' (and 'system' for the first message alone)"));
    }
    if (family.alternates && (role == "user") != ((i - first_turn) % 2 == 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("message ", i + 1, " has role '", role, "', but chat template '",
                       family.name, "' needs user and assistant in turns, user first"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

ChatTemplate::ChatTemplate(const ChatFamily& family)
    : family_(&family),
      name_(family.name),
      bos_(family.bos),
      eos_(family.eos),
      starts_with_bos_(family.starts_with_bos) {}

absl::StatusOr<ChatTemplate> ChatTemplate::FromTemplateText(absl::string_view text) {
  const ChatFamily* family = FindFamily(RecognizeFamily(text));
  if (family == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the model's chat template is of no known family; name one with --chat-template: ",
        NameList()));
  }
  ChatTemplate result(*family);
  result.starts_with_bos_ = absl::StrContains(text, "bos_token");
  result.trims_ = absl::StrContains(text, "trim") || absl::StrContains(text, "strip()");
  if (result.name_ == "chatml") result.default_system_ = FindDefaultSystem(text);
  return result;
}

absl::StatusOr<ChatTemplate> ChatTemplate::FromName(absl::string_view name) {
  const ChatFamily* family = FindFamily(name);
  if (family == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("chat template '", name, "' is not known; known are ", NameList()));
  }
  return ChatTemplate(*family);
}

std::vector<std::string> ChatTemplate::Names() {
  std::vector<std::string> names;
  for (const ChatFamily& family : kFamilies) names.push_back(family.name);
  return names;
}

void ChatTemplate::SetTokens(absl::string_view bos, absl::string_view eos) {
  if (!bos.empty()) bos_ = std::string(bos);
  if (!eos.empty()) eos_ = std::string(eos);
}

absl::StatusOr<std::string> ChatTemplate::Render(const std::vector<ChatMessage>& messages) const {
  ASSIGN_OR_RETURN(const std::vector<TextPiece> pieces, RenderPieces(messages));
  std::string text;
  for (const TextPiece& piece : pieces) text += piece.text;
  return text;
}

absl::StatusOr<std::vector<TextPiece>> ChatTemplate::RenderPieces(
    const std::vector<ChatMessage>& messages) const {
  RETURN_IF_ERROR(CheckRoles(*family_, messages));
  const ChatFamily& family = *family_;
  const bool has_system = messages[0].role == "system";
  const std::string& system = has_system ? messages[0].content : default_system_;
  const auto trim = [this](const TurnForm& form, absl::string_view text) {
    return form.trims && trims_ ? TrimLeft(TrimRight(text)) : text;
  };
  PieceWriter writer(bos_, eos_);

  if (family.place == SystemPlace::kOwnTurn &&
      (has_system || !system.empty() || family.system_preface != nullptr)) {
    writer.AddForm(family.system.open);
    if (family.system_preface != nullptr) writer.AddForm(family.system_preface);
    writer.AddMessage(trim(family.system, system));
    writer.AddForm(family.system.close);
  }
  const size_t first = has_system ? 1 : 0;
  const size_t joined = family.place == SystemPlace::kLastUser ? messages.size() - 1 : first;
  for (size_t i = first; i < messages.size(); ++i) {
    const bool is_user = messages[i].role == "user";
    const TurnForm& form = is_user ? family.user : family.assistant;
    // The first BOS is the caller's.
    writer.AddForm(i == first ? absl::StripPrefix(form.open, "{bos}") : form.open);
    absl::string_view content = trim(form, messages[i].content);
    if (has_system && is_user && i == joined && family.place != SystemPlace::kOwnTurn) {
      absl::string_view close = family.system.close;
      if (family.trims_joined && trims_) {
        content = TrimRight(messages[i].content);
        if (content.empty()) close = TrimRight(close);
      }
      writer.AddForm(family.system.open);
      writer.AddMessage(system);
      writer.AddForm(close);
    }
    writer.AddMessage(content);
    writer.AddForm(form.close);
  }
  writer.AddForm(family.answer);
  return writer.Take();
}

}  // namespace baton
