// The forms in which models were trained to read conversations: a table.
//
// Sources: the chat_template of the models' published tokenizer_config.json, as Jinja renders it
// with trim_blocks and lstrip_blocks. Left out of them: tools, documents, and the day's date, which
// the engine does not know.
#ifndef BATON_ENGINE_CHAT_CHAT_FAMILIES_H_
#define BATON_ENGINE_CHAT_CHAT_FAMILIES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace baton {

// What is dropped from a message's ends; white space is what Python's str.strip() takes for it.
enum class Trim { kNone, kBoth, kRight, kLeadingNewlines };

// {bos} and {eos} stand for the model's tokens.
struct TurnForm {
  const char* open = "";
  const char* close = "";
  Trim trim = Trim::kNone;
};

enum class SystemPlace {
  kOwnTurn,
  kFirstUser,  // written before the text of the first user turn
  kLastUser,   // before that of the last one
};

// Answers of models that think first. History holds what comes after the thoughts alone.
struct ThoughtForm {
  const char* begin = nullptr;  // opens an answer's thoughts; null: they are not told apart
  const char* between = "";     // what closes thoughts, where that is more than `end`
  const char* end = nullptr;    // the last one of these ends the thoughts; null: there are none
  bool stays_in_history = false;
  const char* answer_end = nullptr;  // goes from the end of an answer, together with the thoughts
  Trim trim = Trim::kNone;           // of what is left in history, where there were thoughts
};

inline constexpr int kMaxChatMarks = 6;

// One family, as data alone.
struct ChatFamily {
  const char* name;
  // A template is of the first family whose marks all stand in its text, in the form of
  // NormalizeJinja(). "a || b": either will do; "!a || b": neither may; "a$": at the end.
  const char* marks[kMaxChatMarks] = {};
  const char* open = "";  // before the first turn, after BOS
  TurnForm system = {};
  // In the system turn's place where the conversation brings no system message.
  const char* no_system = "";
  // A template's own default system message is what follows this in its text, up to the end of the
  // string or to `default_close`, which then closes its turn; null: none is looked for.
  const char* default_open = nullptr;
  const char* default_close = "";
  bool skips_empty_system = false;  // an empty system message counts as none
  TurnForm user = {};
  TurnForm assistant = {};
  ThoughtForm thought = {};
  const char* answer = "";  // opens the turn that the model is to write
  SystemPlace place = SystemPlace::kOwnTurn;
  bool later_system = false;  // a system message may also come later, in the same form
  bool alternates = false;    // after the system message strictly user, assistant, user ...
  bool starts_with_bos = false;
  const char* bos = "<s>";
  const char* eos = "</s>";
  bool trims_joined = false;  // a user's text is trimmed together with the system's before it
  // The family to take instead where the system message says "/no_think".
  const char* no_think = nullptr;
};

// Null where there is none.
const ChatFamily* FindChatFamily(absl::string_view name);
// `normal_text`: of NormalizeJinja().
const ChatFamily* RecognizeChatFamily(absl::string_view normal_text);
std::vector<std::string> ChatFamilyNames();  // sorted

}  // namespace baton

#endif  // BATON_ENGINE_CHAT_CHAT_FAMILIES_H_
