// Cuts special and added tokens out of a text before anything else looks at it.
#ifndef BATON_ENGINE_TOKENIZER_SPECIAL_TOKENS_H_
#define BATON_ENGINE_TOKENIZER_SPECIAL_TOKENS_H_

#include <array>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace baton {

inline constexpr int32_t kNoToken = -1;

// A run of plain text, or (id != kNoToken) a special token.
struct Fragment {
  absl::string_view text;
  int32_t id = kNoToken;
};

// Bytes [begin, end) of a text.
struct TextRange {
  size_t begin;
  size_t end;
};

struct SpecialToken {
  std::string text;  // not empty
  int32_t id;
  bool is_text = false;       // user-defined: cut wherever it occurs
  bool strips_right = false;  // swallows the ASCII white space after it
};

// Immutable, so thread-safe.
class SpecialTokens {
 public:
  explicit SpecialTokens(std::vector<SpecialToken> tokens);
  SpecialTokens(SpecialTokens&&) = default;  // a copy's index would point into the original
  SpecialTokens& operator=(SpecialTokens&&) = default;

  // Longer tokens first, wherever they stand; then the one with the lower id; then leftmost.
  // Fragments point into `text`; empty ones are left out. Tokens that are no text are cut where
  // they lie inside one of `parsed`, which ascend and do not touch each other.
  std::vector<Fragment> Cut(absl::string_view text, const std::vector<TextRange>& parsed) const;

 private:
  struct Occurrence {
    size_t token;  // of tokens_
    size_t begin;  // in the text
  };

  // Of tokens that occur in the text, the longest first.
  std::set<size_t, std::greater<>> OccurringLengths(absl::string_view text) const;
  // Where tokens of one length occur, in the order in which they are cut.
  std::vector<Occurrence> Find(size_t length, absl::string_view text) const;

  std::vector<SpecialToken> tokens_;                      // in the order in which they are cut
  absl::flat_hash_map<absl::string_view, size_t> index_;  // by text; values index tokens_
  std::array<std::vector<size_t>, 256> lengths_;          // by first byte, each length once
};

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_SPECIAL_TOKENS_H_
