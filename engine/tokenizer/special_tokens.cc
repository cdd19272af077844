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

// Cuts every occurrence of one token out of the fragments that are still plain text.
std::vector<Fragment> CutOne(const SpecialToken& token, absl::string_view text,
                             const std::vector<TextRange>& parsed,
                             const std::vector<Fragment>& fragments) {
  std::vector<Fragment> result;
  for (const Fragment& fragment : fragments) {
    if (fragment.id != kNoToken) {
      result.push_back(fragment);
      continue;
    }
    absl::string_view rest = fragment.text;
    for (size_t at = rest.find(token.text); at != absl::string_view::npos;) {
      const size_t begin = rest.data() - text.data() + at;
      if (!token.is_text && !IsInside({begin, begin + token.text.size()}, parsed)) {
        at = rest.find(token.text, at + 1);
        continue;
      }
      if (at > 0) result.push_back({rest.substr(0, at)});
      result.push_back({rest.substr(at, token.text.size()), token.id});
      rest.remove_prefix(at + token.text.size());
      if (token.strips_right) rest = absl::StripLeadingAsciiWhitespace(rest);
      at = rest.find(token.text);
    }
    if (!rest.empty()) result.push_back({rest});
  }
  return result;
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

std::vector<const SpecialToken*> SpecialTokens::Occurring(absl::string_view text) const {
  std::vector<bool> seen(tokens_.size());
  for (size_t at = 0; at < text.size(); ++at) {
    for (const size_t length : lengths_[static_cast<uint8_t>(text[at])]) {
      if (length > text.size() - at) continue;
      const auto found = index_.find(text.substr(at, length));
      if (found != index_.end()) seen[found->second] = true;
    }
  }
  std::vector<const SpecialToken*> occurring;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (seen[i]) occurring.push_back(&tokens_[i]);
  }
  return occurring;
}

std::vector<Fragment> SpecialTokens::Cut(absl::string_view text,
                                         const std::vector<TextRange>& parsed) const {
  std::vector<Fragment> fragments;
  if (!text.empty()) fragments.push_back({text});
  for (const SpecialToken* token : Occurring(text)) {
    if (token->is_text || !parsed.empty()) fragments = CutOne(*token, text, parsed, fragments);
  }
  return fragments;
}

}  // namespace baton
