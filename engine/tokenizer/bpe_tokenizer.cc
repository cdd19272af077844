#include "engine/tokenizer/bpe_tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/tokenizer/byte_alphabet.h"

namespace baton {
namespace {

// What the GGUF ecosystem assumes where a file has no key.
constexpr int32_t kDefaultBosAndEos = 11;

TokenizerDefaults Defaults(const PreTokenizerRule& rule) {
  TokenizerDefaults defaults;
  if (rule.has_default_bos) defaults.bos = kDefaultBosAndEos;
  defaults.eos = kDefaultBosAndEos;
  defaults.adds_bos = rule.adds_bos;
  return defaults;
}

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

BpeTokenizer::BpeTokenizer(Vocabulary vocabulary, const PreTokenizerRule& rule)
    : VocabularyTokenizer(std::move(vocabulary), Defaults(rule)),
      rule_(rule),
      pre_tokenizer_(rule) {
  absl::flat_hash_map<std::string, int32_t> others;
  for (int byte = 0; byte < 256; ++byte)
    byte_symbols_[byte] = SymbolOf(ByteCharacter(byte), &others);
  for (const std::string& token : this->vocabulary().tokens) {
    max_token_bytes_ = std::max(max_token_bytes_, token.size());
  }
  const std::vector<std::string>& merges = this->vocabulary().merges;
  merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    absl::string_view left, right;
    CHECK(SplitMerge(merges[rank], &left, &right));
    const uint64_t key = PairKey(SymbolOf(left, &others), SymbolOf(right, &others));
    const int32_t merged = SymbolOf(absl::StrCat(left, right), &others);
    merges_.emplace(key, Merge{static_cast<double>(rank), merged});
  }
}

int32_t BpeTokenizer::SymbolOf(absl::string_view text,
                               absl::flat_hash_map<std::string, int32_t>* others) {
  if (const std::optional<int32_t> id = FindToken(text)) return *id;
  const int32_t next = vocabulary_size() + static_cast<int32_t>(others->size());
  return others->emplace(text, next).first->second;
}

void BpeTokenizer::EncodeText(absl::string_view text, bool /*starts*/,
                              std::vector<int32_t>* ids) const {
  std::vector<Symbol> symbols;
  for (const absl::string_view piece : pre_tokenizer_.Split(text)) {
    const std::optional<int32_t> whole = FindWholePiece(piece);
    if (whole) {
      ids->push_back(*whole);
    } else {
      EncodePiece(piece, &symbols, ids);
    }
  }
}

std::optional<int32_t> BpeTokenizer::FindWholePiece(absl::string_view piece) const {
  if (!rule_.ignores_merges || piece.size() > max_token_bytes_) return std::nullopt;
  const std::optional<int32_t> id = FindToken(EncodeBytes(piece));
  return id && !IsControl(*id) ? id : std::nullopt;
}

void BpeTokenizer::EncodePiece(absl::string_view piece, std::vector<Symbol>* symbols,
                               std::vector<int32_t>* ids) const {
  symbols->clear();
  for (size_t i = 0; i < piece.size(); ++i) {
    symbols->push_back(
        {static_cast<uint32_t>(i), 1, byte_symbols_[static_cast<uint8_t>(piece[i])]});
  }
  MergeSymbols(
      [this](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
        const auto found = merges_.find(PairKey(left.value, right.value));
        return found == merges_.end() ? std::nullopt : std::optional<Merge>(found->second);
      },
      symbols);
  for (const Symbol& symbol : *symbols) {
    if (symbol.length == 0) continue;
    if (symbol.value < vocabulary_size()) {
      ids->push_back(symbol.value);
      continue;
    }
    // Merged to something that is no token: its bytes, as far as the vocabulary has them.
    for (const char byte : piece.substr(symbol.begin, symbol.length)) {
      const int32_t id = byte_symbols_[static_cast<uint8_t>(byte)];
      if (id < vocabulary_size()) ids->push_back(id);
    }
  }
}

std::string BpeTokenizer::NormalPiece(const std::string& token) const { return DecodeBytes(token); }

}  // namespace baton
