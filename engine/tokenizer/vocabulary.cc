#include "engine/tokenizer/vocabulary.h"

#include <cmath>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

// Error messages quote this much of a token, in bytes: enough to find it.
constexpr size_t kMaxQuotedBytes = 60;

std::string Quote(absl::string_view text) {
  return absl::StrCat("'", absl::Utf8SafeCHexEscape(text.substr(0, kMaxQuotedBytes)), "'");
}

absl::Status CheckLengths(const Vocabulary& vocabulary) {
  const size_t count = vocabulary.tokens.size();
  if (count == 0) return absl::InvalidArgumentError("tokenizer.ggml.tokens is empty");
  if (count > kMaxVocabularySize) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer.ggml.tokens has ", count,
                                                   " entries, more than ", kMaxVocabularySize));
  }
  const std::pair<const char*, size_t> arrays[] = {{"scores", vocabulary.scores.size()},
                                                   {"token_type", vocabulary.types.size()}};
  for (const auto& [name, size] : arrays) {
    if (size != 0 && size != count) {
      return absl::InvalidArgumentError(
          absl::StrCat("tokenizer.ggml.", name, " has ", size, " entries for ", count, " tokens"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTokens(const Vocabulary& vocabulary) {
  absl::flat_hash_map<absl::string_view, size_t> first;
  first.reserve(vocabulary.tokens.size());
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    if (!vocabulary.scores.empty() && std::isnan(vocabulary.scores[id])) {
      return absl::InvalidArgumentError(
          absl::StrCat("tokenizer.ggml.scores[", id, "] is not a number"));
    }
    if (vocabulary.model == kSpmModel && vocabulary.type(id) == TokenType::kByte &&
        !ParseByteToken(token)) {
      return absl::InvalidArgumentError(absl::StrCat("token ", id, " is a byte token but reads ",
                                                     Quote(token), ", expected <0x00> to <0xFF>"));
    }
    if (token.empty()) continue;
    const auto [other, is_new] = first.emplace(token, id);
    if (!is_new) {
      return absl::InvalidArgumentError(
          absl::StrCat("tokens ", other->second, " and ", id, " are both ", Quote(token)));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckIds(const Vocabulary& vocabulary) {
  const std::pair<const char*, std::optional<int32_t>> ids[] = {
      {"bos", vocabulary.bos},
      {"eos", vocabulary.eos},
      {"unknown", vocabulary.unknown},
      {"eot", vocabulary.end_of_turn},
      {"eom", vocabulary.end_of_message},
      {"fim_pad", vocabulary.fill_pad},
      {"fim_rep", vocabulary.fill_repository},
      {"fim_sep", vocabulary.fill_separator}};
  for (const auto& [name, id] : ids) {
    if (id && (*id < 0 || static_cast<size_t>(*id) >= vocabulary.tokens.size())) {
      // As the unsigned number that stands in the file.
      return absl::InvalidArgumentError(
          absl::StrCat("tokenizer.ggml.", name, "_token_id is ", static_cast<uint32_t>(*id),
                       ", but the vocabulary has ", vocabulary.tokens.size(), " tokens"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMerges(const Vocabulary& vocabulary) {
  for (size_t i = 0; i < vocabulary.merges.size(); ++i) {
    absl::string_view left, right;
    if (!SplitMerge(vocabulary.merges[i], &left, &right)) {
      return absl::InvalidArgumentError(absl::StrCat("tokenizer.ggml.merges[", i, "] is ",
                                                     Quote(vocabulary.merges[i]),
                                                     ", expected two parts with a space between"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateVocabulary(const Vocabulary& vocabulary) {
  RETURN_IF_ERROR(CheckLengths(vocabulary));
  RETURN_IF_ERROR(CheckTokens(vocabulary));
  RETURN_IF_ERROR(CheckIds(vocabulary));
  return CheckMerges(vocabulary);
}

std::optional<uint8_t> ParseByteToken(absl::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return std::nullopt;
  if (!absl::ascii_isxdigit(text[3]) || !absl::ascii_isxdigit(text[4])) return std::nullopt;
  return static_cast<uint8_t>(absl::HexStringToBytes(text.substr(3, 2))[0]);
}

bool SplitMerge(absl::string_view merge, absl::string_view* left, absl::string_view* right) {
  const size_t space = merge.find(' ', 1);
  if (space == absl::string_view::npos || space + 1 == merge.size()) return false;
  *left = merge.substr(0, space);
  *right = merge.substr(space + 1);
  return true;
}

}  // namespace baton
