// Divides an answer, as it comes, into what a model thinks and what it says.
#ifndef BATON_ENGINE_CHAT_THOUGHT_SPLITTER_H_
#define BATON_ENGINE_CHAT_THOUGHT_SPLITTER_H_

#include <string>

#include "absl/strings/string_view.h"

namespace baton {

// How a family's models mark their thoughts.
struct ThoughtMarks {
  std::string begin;    // opens thoughts, at the beginning of an answer alone; empty: no thoughts
  std::string between;  // what closes thoughts, where that is more than `end`
  std::string end;      // opens what is said
  bool has_begun = false;  // the prompt has `begin` already
};

// Of one answer. Not thread-safe.
class ThoughtSplitter {
 public:
  explicit ThoughtSplitter(ThoughtMarks marks);

  struct Parts {
    std::string thought;
    std::string said;
  };
  // The next text of the answer, without marks and without line feeds at the ends of thoughts. What
  // may be the beginning of a mark is held back.
  Parts Push(absl::string_view text);
  // The end of the answer: what was held back.
  Parts Flush();

 private:
  enum class State { kBegin, kThinking, kAfterThoughts, kSaying };

  // What is certain now of `held_`; `is_last`: nothing follows.
  Parts Take(bool is_last);
  void TakeThoughts(bool is_last, Parts* parts);

  const ThoughtMarks marks_;
  State state_;
  bool has_thought_ = false;  // something of it was given out
  std::string held_;
};

}  // namespace baton

#endif  // BATON_ENGINE_CHAT_THOUGHT_SPLITTER_H_
