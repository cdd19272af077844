#include "engine/chat/chat_template.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/base/status_macros.h"
#include "engine/chat/jinja_text.h"

namespace baton {
namespace {

std::string NameList() { return absl::StrJoin(ChatTemplate::Names(), ", "); }

// Places in a template where its default system message is looked for: published ones have up to
// three, and each is a search through the text.
constexpr int kMaxDefaultPlaces = 16;

// The default system message that a template brings along, if it does; its text is in the form of
// NormalizeJinja().
std::optional<std::string> FindDefaultSystem(const ChatFamily& family, absl::string_view text) {
  if (family.default_open == nullptr) return std::nullopt;
  const absl::string_view open = family.default_open;
  const absl::string_view close = absl::StripSuffix(family.default_close, "\n");
  size_t at = text.find(open);
  for (int i = 0; i < kMaxDefaultPlaces && at != absl::string_view::npos; ++i) {
    const absl::string_view rest = text.substr(at + open.size());
    at = text.find(open, at + 1);
    const size_t turn_end = close.empty() ? absl::string_view::npos : rest.find(close);
    const size_t string_end = std::min(rest.find("'}}"), rest.find("'%}"));
    const size_t end = std::min(turn_end, string_end);
    // A string that an expression follows is only a part of what is said.
    if (end == absl::string_view::npos || rest.find("'+") < end) continue;
    if (end == 0 && string_end == 0) continue;
    const std::string found(rest.substr(0, end));
    // That place is for the day's date.
    return absl::StrContains(found, "{today}") ? std::nullopt : std::optional<std::string>(found);
  }
  return std::nullopt;
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

absl::string_view TrimAs(Trim trim, absl::string_view text) {
  switch (trim) {
    case Trim::kNone:
      return text;
    case Trim::kBoth:
      return TrimLeft(TrimRight(text));
    case Trim::kRight:
      return TrimRight(text);
    case Trim::kLeadingNewlines:
      return text.substr(std::min(text.find_first_not_of('\n'), text.size()));
  }
  return text;
}

// An answer without the thoughts before it.
absl::string_view DropThoughts(const ThoughtForm& thought, absl::string_view text) {
  if (thought.end == nullptr || thought.stays_in_history) return text;
  const size_t end = text.rfind(thought.end);
  if (end == absl::string_view::npos) return text;
  text.remove_prefix(end + strlen(thought.end));
  if (thought.answer_end != nullptr) {
    text = TrimRight(text);
    absl::ConsumeSuffix(&text, thought.answer_end);
  }
  return TrimAs(thought.trim, text);
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

// The family that the system message switches to; what switches is no part of the message.
const ChatFamily& Switched(const ChatFamily& family, std::optional<std::string>* system) {
  if (family.no_think == nullptr || !system->has_value()) return family;
  const bool is_off = absl::StrContains(**system, "/no_think");
  **system = absl::StrReplaceAll(**system, {{"/no_think", ""}, {"/think", ""}});
  return is_off ? *FindChatFamily(family.no_think) : family;
}

void WriteSystem(const ChatFamily& family, const std::optional<std::string>& system,
                 const std::optional<std::string>& default_system, PieceWriter* writer) {
  const absl::string_view text =
      system.has_value() ? TrimAs(family.system.trim, *system) : absl::string_view();
  if (system.has_value() && !(text.empty() && family.skips_empty_system)) {
    writer->AddForm(family.system.open);
    writer->AddMessage(text);
    writer->AddForm(family.system.close);
  } else if (default_system.has_value()) {
    writer->AddForm(family.system.open);
    writer->AddMessage(*default_system);
    writer->AddForm(family.default_close);
  } else {
    writer->AddForm(family.no_system);
  }
}

// The content of the user's turn that takes the system message in.
void WriteJoined(const ChatFamily& family, absl::string_view system, absl::string_view content,
                 PieceWriter* writer) {
  absl::string_view close = family.system.close;
  if (family.trims_joined && family.user.trim == Trim::kBoth) {
    content = TrimRight(content);
    if (content.empty()) close = TrimRight(close);
  } else {
    content = TrimAs(family.user.trim, content);
  }
  writer->AddForm(family.system.open);
  writer->AddMessage(system);
  writer->AddForm(close);
  writer->AddMessage(content);
}

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
    if (role == "system" && family.later_system) continue;
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
  const bool drops_thoughts = family.thought.end != nullptr && !family.thought.stays_in_history;
  if (drops_thoughts && messages.back().role == "assistant") {
    return absl::InvalidArgumentError(
        absl::StrCat("the last message is the assistant's, but chat template '", family.name,
                     "' ends with a user's: an answer's thoughts belong to the answer alone"));
  }
  return absl::OkStatus();
}

}  // namespace

ChatTemplate::ChatTemplate(const ChatFamily& family)
    : family_(family),
      bos_(family.bos),
      eos_(family.eos),
      starts_with_bos_(family.starts_with_bos) {}

absl::StatusOr<ChatTemplate> ChatTemplate::FromTemplateText(absl::string_view text) {
  const std::string normal_text = NormalizeJinja(text);
  const ChatFamily* family = RecognizeChatFamily(normal_text);
  if (family == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the model's chat template is of no known family; name one with --chat-template: ",
        NameList()));
  }
  ChatTemplate result(*family);
  result.starts_with_bos_ =
      absl::StrContains(text, "bos_token") ||
      (family->starts_with_bos && absl::StrContains(text, absl::StrCat("'", family->bos)));
  if (!absl::StrContains(text, "trim") && !absl::StrContains(text, "strip(")) {
    for (TurnForm* form :
         {&result.family_.system, &result.family_.user, &result.family_.assistant}) {
      form->trim = Trim::kNone;
    }
  }
  result.default_system_ = FindDefaultSystem(*family, normal_text);
  return result;
}

absl::StatusOr<ChatTemplate> ChatTemplate::FromName(absl::string_view name) {
  const ChatFamily* family = FindChatFamily(name);
  if (family == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("chat template '", name, "' is not known; known are ", NameList()));
  }
  return ChatTemplate(*family);
}

std::vector<std::string> ChatTemplate::Names() { return ChatFamilyNames(); }

void ChatTemplate::SetTokens(absl::string_view bos, absl::string_view eos) {
  if (!bos.empty()) bos_ = std::string(bos);
  if (!eos.empty()) eos_ = std::string(eos);
}

ThoughtMarks ChatTemplate::thought_marks() const {
  const ThoughtForm& form = family_.thought;
  if (form.begin == nullptr) return {};
  const absl::string_view answer = family_.answer;
  const bool has_begun =
      absl::StrContains(answer, form.begin) && !absl::StrContains(answer, form.end);
  return {form.begin, form.between, form.end, has_begun};
}

absl::StatusOr<std::string> ChatTemplate::Render(const std::vector<ChatMessage>& messages) const {
  ASSIGN_OR_RETURN(const std::vector<TextPiece> pieces, RenderPieces(messages));
  std::string text;
  for (const TextPiece& piece : pieces) text += piece.text;
  return text;
}

absl::StatusOr<std::vector<TextPiece>> ChatTemplate::RenderPieces(
    const std::vector<ChatMessage>& messages) const {
  RETURN_IF_ERROR(CheckRoles(family_, messages));
  const size_t first = messages[0].role == "system" ? 1 : 0;
  std::optional<std::string> system;
  if (first == 1) system = messages[0].content;
  const ChatFamily& family = Switched(family_, &system);

  PieceWriter writer(bos_, eos_);
  writer.AddForm(family.open);
  if (family.place == SystemPlace::kOwnTurn) {
    WriteSystem(family, system, default_system_, &writer);
    system.reset();
  }
  const size_t joined = family.place == SystemPlace::kLastUser ? messages.size() - 1 : first;
  for (size_t i = first; i < messages.size(); ++i) {
    const bool is_user = messages[i].role == "user";
    const bool is_system = messages[i].role == "system";
    const TurnForm& form = is_system ? family.system : is_user ? family.user : family.assistant;
    // The first BOS is the caller's.
    writer.AddForm(i == first ? absl::StripPrefix(form.open, "{bos}") : form.open);
    if (i == joined && is_user && system.has_value()) {
      WriteJoined(family, *system, messages[i].content, &writer);
    } else {
      const absl::string_view content = messages[i].content;
      writer.AddMessage(TrimAs(
          form.trim, is_user || is_system ? content : DropThoughts(family.thought, content)));
    }
    writer.AddForm(form.close);
  }
  writer.AddForm(family.answer);
  return writer.Take();
}

}  // namespace baton
