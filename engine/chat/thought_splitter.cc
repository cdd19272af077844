#include "engine/chat/thought_splitter.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace baton {
namespace {

bool IsProperPrefix(absl::string_view text, absl::string_view mark) {
  return text.size() < mark.size() && absl::StartsWith(mark, text);
}

// Bytes at the end of the text that may be the beginning of the mark.
size_t BytesOfBegunMark(absl::string_view text, absl::string_view mark) {
  for (size_t size = std::min(text.size(), mark.size() - 1); size > 0; --size) {
    if (absl::EndsWith(text, mark.substr(0, size))) return size;
  }
  return 0;
}

size_t BytesOfLineFeeds(absl::string_view text) {
  return text.size() - (text.find_last_not_of('\n') + 1);
}

}  // namespace

ThoughtSplitter::ThoughtSplitter(ThoughtMarks marks)
    : marks_(std::move(marks)),
      state_(marks_.begin.empty() ? State::kSaying
                                  : (marks_.has_begun ? State::kThinking : State::kBegin)) {}

ThoughtSplitter::Parts ThoughtSplitter::Push(absl::string_view text) {
  absl::StrAppend(&held_, text);
  return Take(/*is_last=*/false);
}

ThoughtSplitter::Parts ThoughtSplitter::Flush() { return Take(/*is_last=*/true); }

ThoughtSplitter::Parts ThoughtSplitter::Take(bool is_last) {
  Parts parts;
  if (state_ == State::kBegin) {
    absl::string_view rest = held_;
    const bool may_come = IsProperPrefix(rest, marks_.begin) || IsProperPrefix(rest, marks_.end);
    if (may_come && !is_last) return parts;
    if (absl::ConsumePrefix(&rest, marks_.begin)) {
      state_ = State::kThinking;
    } else {
      state_ = absl::ConsumePrefix(&rest, marks_.end) ? State::kAfterThoughts : State::kSaying;
    }
    held_ = std::string(rest);
  }
  if (state_ == State::kThinking) TakeThoughts(is_last, &parts);
  if (state_ == State::kAfterThoughts) {
    held_.erase(0, std::min(held_.find_first_not_of('\n'), held_.size()));
    if (!held_.empty()) state_ = State::kSaying;
  }
  if (state_ == State::kSaying) parts.said = std::exchange(held_, "");
  return parts;
}

void ThoughtSplitter::TakeThoughts(bool is_last, Parts* parts) {
  if (!has_thought_) held_.erase(0, std::min(held_.find_first_not_of('\n'), held_.size()));
  const size_t end = held_.find(marks_.end);
  absl::string_view thought = absl::string_view(held_).substr(0, end);
  const std::string closing = absl::StrCat(marks_.between, marks_.end);
  size_t taken = thought.size();
  if (end != std::string::npos) {
    absl::ConsumeSuffix(&thought, marks_.between);
    thought.remove_suffix(BytesOfLineFeeds(thought));
    taken += marks_.end.size();
    state_ = State::kAfterThoughts;
  } else if (!is_last) {
    const size_t begun =
        std::max(BytesOfBegunMark(thought, closing), BytesOfBegunMark(thought, marks_.end));
    thought.remove_suffix(begun);
    thought.remove_suffix(BytesOfLineFeeds(thought));
    taken = thought.size();
  }
  parts->thought = std::string(thought);
  has_thought_ = has_thought_ || !thought.empty();
  held_.erase(0, taken);
}

}  // namespace baton
