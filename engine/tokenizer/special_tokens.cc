#include "engine/tokenizer/special_tokens.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"

namespace baton {
namespace {

bool IsInside(const TextRange& range, const std::vector<TextRange>& parsed) {
  const auto after = std::upper_bound(
      parsed.begin(), parsed.end(), range.begin,
      [](size_t begin, const TextRange& candidate) { return begin < candidate.begin; });
  return after != parsed.begin() && range.end <= std::prev(after)->end;
}

// A token's place in the text, and behind it the white space that it swallows.
struct Cutting {
  Fragment fragment;
  size_t begin;
  size_t end;
};

bool AnyTaken(const std::vector<bool>& taken, size_t begin, size_t end) {
  return std::find(taken.begin() + static_cast<int64_t>(begin),
                   taken.begin() + static_cast<int64_t>(end),
                   true) != taken.begin() + static_cast<int64_t>(end);
}

}  // namespace

SpecialTokens::SpecialTokens(std::vector<SpecialToken> tokens) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(), [](const SpecialToken& a, const SpecialToken& b) {
    return a.text.size() != b.text.size() ? a.text.size() > b.text.size() : a.id < b.id;
  });
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& text = tokens_[i].text;
    index_.emplace(text, i);
    std::vector<size_t>& lengths = lengths_[static_cast<uint8_t>(text[0])];
    if (lengths.empty() || lengths.back() != text.size()) lengths.push_back(text.size());
  }
}

std::set<size_t, std::greater<>> SpecialTokens::OccurringLengths(absl::string_view text) const {
  std::set<size_t, std::greater<>> occurring;
  for (size_t at = 0; at < text.size(); ++at) {
    for (const size_t length : lengths_[static_cast<uint8_t>(text[at])]) {
      if (length > text.size() - at || occurring.count(length) > 0) continue;
      if (index_.contains(text.substr(at, length))) occurring.insert(length);
    }
  }
  return occurring;
}

std::vector<SpecialTokens::Occurrence> SpecialTokens::Find(size_t length,
                                                           absl::string_view text) const {
  std::array<bool, 256> begins = {};
  for (size_t byte = 0; byte < begins.size(); ++byte) {
    const std::vector<size_t>& lengths = lengths_[byte];
    begins[byte] = std::find(lengths.begin(), lengths.end(), length) != lengths.end();
  }
  std::vector<Occurrence> found;
  for (size_t at = 0; at + length <= text.size(); ++at) {
    if (!begins[static_cast<uint8_t>(text[at])]) continue;
    const auto token = index_.find(text.substr(at, length));
    if (token != index_.end()) found.push_back({token->second, at});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Occurrence& a, const Occurrence& b) { return a.token < b.token; });
  return found;
}

// One pass over the text for each length that occurs, whatever the number of tokens.
std::vector<Fragment> SpecialTokens::Cut(absl::string_view text,
                                         const std::vector<TextRange>& parsed) const {
  std::vector<bool> taken(text.size());
  std::vector<Cutting> cuts;
  for (const size_t length : OccurringLengths(text)) {
    for (const Occurrence& occurrence : Find(length, text)) {
      const SpecialToken& token = tokens_[occurrence.token];
      const size_t begin = occurrence.begin;
      size_t end = begin + length;
      if (!token.is_text && !IsInside({begin, end}, parsed)) continue;
      if (AnyTaken(taken, begin, end)) continue;
      while (token.strips_right && end < text.size() && !taken[end] &&
             absl::ascii_isspace(static_cast<unsigned char>(text[end]))) {
        ++end;
      }
      std::fill(taken.begin() + static_cast<int64_t>(begin),
                taken.begin() + static_cast<int64_t>(end), true);
      cuts.push_back({{text.substr(begin, length), token.id}, begin, end});
    }
  }
  std::sort(cuts.begin(), cuts.end(),
            [](const Cutting& a, const Cutting& b) { return a.begin < b.begin; });
  std::vector<Fragment> fragments;
  size_t at = 0;
  for (const Cutting& cut : cuts) {
    if (cut.begin > at) fragments.push_back({text.substr(at, cut.begin - at)});
    fragments.push_back(cut.fragment);
    at = cut.end;
  }
  if (at < text.size()) fragments.push_back({text.substr(at)});
  return fragments;
}

}  // namespace baton
