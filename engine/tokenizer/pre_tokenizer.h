// Splits text into the pieces that BPE merges never cross.
//
// A rule is a row of regular expressions. Each splits the pieces of the one before: its matches
// become pieces, and so does the text between them. Rules are those of the models' published
// tokenizer.json, by the names that converters write into tokenizer.ggml.pre.
#ifndef BATON_ENGINE_TOKENIZER_PRE_TOKENIZER_H_
#define BATON_ENGINE_TOKENIZER_PRE_TOKENIZER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

inline constexpr int kMaxPreTokenizerStages = 6;

// All that differs between BPE models of different names.
struct PreTokenizerRule {
  const char* name;
  // Perl syntax; \s and \S mean Unicode's White_Space. Ends at the first null.
  const char* stages[kMaxPreTokenizerStages];
  bool ignores_merges = false;  // a piece that is a token as it stands is taken whole
  bool adds_bos = false;        // unless tokenizer.ggml.add_bos_token says otherwise
  bool has_default_bos = true;  // BOS has an id without tokenizer.ggml.bos_token_id
};

// The rule of a name; FailedPrecondition names an unknown one and lists the known.
absl::StatusOr<const PreTokenizerRule*> FindPreTokenizerRule(absl::string_view name);
// "default": for files that name none.
const PreTokenizerRule& DefaultPreTokenizerRule();
std::vector<std::string> PreTokenizerNames();

// Immutable, so thread-safe.
class PreTokenizer {
 public:
  explicit PreTokenizer(const PreTokenizerRule& rule);
  ~PreTokenizer();
  PreTokenizer(const PreTokenizer&) = delete;
  PreTokenizer& operator=(const PreTokenizer&) = delete;

  // The pieces in order; together they are the text, none is empty. A byte that belongs to no
  // UTF-8 character is a piece of its own. Time is linear in the text for every rule; memory and
  // backtracking have limits, past which the rest of a piece stays whole.
  std::vector<absl::string_view> Split(absl::string_view text) const;

 private:
  class Stage;
  std::vector<std::unique_ptr<Stage>> stages_;
};

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_PRE_TOKENIZER_H_
