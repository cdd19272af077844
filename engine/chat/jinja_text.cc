#include "engine/chat/jinja_text.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace baton {
namespace {

bool IsWordCharacter(char c) { return absl::ascii_isalnum(c) || c == '_'; }

class Normalizer {
 public:
  explicit Normalizer(absl::string_view text) : text_(text) {}

  std::string Run() {
    while (!text_.empty()) {
      TakeText();
      if (absl::ConsumePrefix(&text_, "{#")) {
        SkipComment();
      } else if (absl::ConsumePrefix(&text_, "{{")) {
        TakeBlock("{{", "}}");
      } else if (absl::ConsumePrefix(&text_, "{%")) {
        TakeBlock("{%", "%}");
      }
    }
    return std::move(result_);
  }

 private:
  // What is written as it stands, up to the next block, by Jinja's rules of white space: "-" takes
  // all of it, trim_blocks a line feed after a statement, lstrip_blocks what indents one.
  void TakeText() {
    size_t end = text_.find('{');
    while (end != absl::string_view::npos && !IsBlock(text_.substr(end))) {
      end = text_.find('{', end + 1);
    }
    absl::string_view text = text_.substr(0, end);
    text_.remove_prefix(text.size());
    const bool begins_line = result_.empty() || trims_line_feed_;
    if (trims_left_) {
      text = absl::StripLeadingAsciiWhitespace(text);
    } else if (trims_line_feed_) {
      absl::ConsumePrefix(&text, "\n");
    }
    if (text_.size() > 2 && text_[2] == '-') {
      text = absl::StripTrailingAsciiWhitespace(text);
    } else if (text_.size() > 2 && text_[1] != '{') {
      const size_t last = text.find_last_not_of(" \t");
      const bool is_indent = last == absl::string_view::npos ? begins_line : text[last] == '\n';
      if (is_indent) text = text.substr(0, last == absl::string_view::npos ? 0 : last + 1);
    }
    absl::StrAppend(&result_, text);
  }

  static bool IsBlock(absl::string_view text) {
    return absl::StartsWith(text, "{{") || absl::StartsWith(text, "{%") ||
           absl::StartsWith(text, "{#");
  }

  // Up to the end of a block, which says what becomes of the text after it.
  void Close(absl::string_view close) {
    trims_left_ = absl::ConsumePrefix(&text_, "-");
    trims_line_feed_ = close != "}}";
    absl::ConsumePrefix(&text_, close);
  }

  void SkipComment() {
    const size_t end = std::min(text_.find("#}"), text_.size());
    text_.remove_prefix(end > 0 && text_[end - 1] == '-' ? end - 1 : end);
    Close("#}");
  }

  void TakeBlock(absl::string_view open, absl::string_view close) {
    const std::string dash_close = absl::StrCat("-", close);
    absl::StrAppend(&result_, open);
    if (!absl::ConsumePrefix(&text_, "-")) absl::ConsumePrefix(&text_, "+");
    while (!text_.empty() && !absl::StartsWith(text_, close) &&
           !absl::StartsWith(text_, dash_close)) {
      const char c = text_[0];
      if (c == '\'' || c == '"') {
        TakeString();
        continue;
      }
      text_.remove_prefix(1);
      if (!absl::ascii_isspace(c)) {
        result_ += c;
      } else if (!text_.empty() && IsWordCharacter(text_[0]) && IsWordCharacter(result_.back())) {
        result_ += ' ';
      }
    }
    absl::StrAppend(&result_, close);
    Close(close);
  }

  void TakeString() {
    const char quote = text_[0];
    std::string said;
    size_t i = 1;
    for (; i < text_.size() && text_[i] != quote; ++i) {
      const bool is_escaped = text_[i] == '\\' && i + 1 < text_.size();
      if (is_escaped) ++i;
      said += is_escaped && text_[i] == 'n' ? '\n' : text_[i];
    }
    text_.remove_prefix(std::min(i + 1, text_.size()));

    if (absl::EndsWith(result_, "[") && absl::ConsumePrefix(&text_, "]")) {
      result_.back() = '.';
      absl::StrAppend(&result_, said);
    } else if (absl::EndsWith(result_, "'+")) {
      result_.resize(result_.size() - 2);
      absl::StrAppend(&result_, said, "'");
    } else {
      absl::StrAppend(&result_, "'", said, "'");
    }
  }

  absl::string_view text_;  // what is left
  std::string result_;
  // Of the text that comes next:
  bool trims_left_ = false;
  bool trims_line_feed_ = false;
};

}  // namespace

std::string NormalizeJinja(absl::string_view text) { return Normalizer(text).Run(); }

}  // namespace baton
