#include "engine/tokenizer/spm_tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/tokenizer/utf8.h"

namespace baton {
namespace {

constexpr char kSpaceSymbol[] = "\u2581";

// The numbers that SentencePiece gives these tokens unless told otherwise.
constexpr TokenizerDefaults kDefaults = {/*bos=*/1, /*eos=*/2, /*unknown=*/0, /*adds_bos=*/true};

}  // namespace

SpmTokenizer::SpmTokenizer(Vocabulary vocabulary)
    : VocabularyTokenizer(std::move(vocabulary), kDefaults),
      adds_space_prefix_(this->vocabulary().add_space_prefix.value_or(true)) {
  byte_ids_.fill(kNoToken);
  const std::vector<std::string>& tokens = this->vocabulary().tokens;
  for (size_t id = 0; id < tokens.size(); ++id) {
    max_token_bytes_ = std::max(max_token_bytes_, tokens[id].size());
    if (const std::optional<uint8_t> byte = ParseByteToken(tokens[id])) byte_ids_[*byte] = id;
  }
}

std::optional<int32_t> SpmTokenizer::FindTextToken(absl::string_view text) const {
  if (text.size() > max_token_bytes_) return std::nullopt;
  const std::optional<int32_t> id = FindToken(text);
  if (!id) return std::nullopt;
  switch (vocabulary().type(*id)) {
    case TokenType::kControl:
    case TokenType::kUnknown:
    case TokenType::kByte:
      return std::nullopt;
    default:
      return id;
  }
}

void SpmTokenizer::EncodeText(absl::string_view plain, bool starts,
                              std::vector<int32_t>* ids) const {
  const std::string text = absl::StrReplaceAll(
      absl::StrCat(starts && adds_space_prefix_ ? " " : "", plain), {{" ", kSpaceSymbol}});
  const absl::string_view view = text;
  std::vector<Symbol> symbols;
  for (size_t at = 0; at < text.size();) {
    const size_t length = std::max<size_t>(1, Utf8CharLength(view, at));
    symbols.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(length), kNoToken});
    at += length;
  }
  const std::vector<float>& scores = vocabulary().scores;
  MergeSymbols(
      [&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
        const auto id = FindTextToken(view.substr(left.begin, left.length + right.length));
        if (!id) return std::nullopt;
        return Merge{scores.empty() ? 0.0 : -static_cast<double>(scores[*id]), *id};
      },
      &symbols);
  for (const Symbol& symbol : symbols) {
    if (symbol.length == 0) continue;
    if (symbol.value != kNoToken) {
      ids->push_back(symbol.value);
    } else {
      EncodeSymbol(view.substr(symbol.begin, symbol.length), ids);
    }
  }
}

void SpmTokenizer::EncodeSymbol(absl::string_view text, std::vector<int32_t>* ids) const {
  if (const std::optional<int32_t> id = FindTextToken(text)) {
    ids->push_back(*id);
    return;
  }
  const auto has_id = [this](char byte) {
    return byte_ids_[static_cast<uint8_t>(byte)] != kNoToken;
  };
  if (std::all_of(text.begin(), text.end(), has_id)) {
    for (const char byte : text) ids->push_back(byte_ids_[static_cast<uint8_t>(byte)]);
  } else if (unknown()) {
    ids->push_back(*unknown());
  }
}

std::string SpmTokenizer::NormalPiece(const std::string& token) const {
  return absl::StrReplaceAll(token, {{kSpaceSymbol, " "}});
}

}  // namespace baton
