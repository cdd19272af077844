// Byte-level BPE, as GPT-2 introduced it.
//
// Text is split into pieces (pre_tokenizer.h); within a piece every byte is a symbol, and the
// adjacent pair with the lowest rank in the list of merges is merged (ties: leftmost) until no
// pair has one. Source: GPT-2's published encoder.
#ifndef BATON_ENGINE_TOKENIZER_BPE_TOKENIZER_H_
#define BATON_ENGINE_TOKENIZER_BPE_TOKENIZER_H_

#include <array>

#include "engine/tokenizer/merge.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/vocabulary_tokenizer.h"

namespace baton {

class BpeTokenizer : public VocabularyTokenizer {
 public:
  // `vocabulary` has been validated; `rule` outlives this.
  BpeTokenizer(Vocabulary vocabulary, const PreTokenizerRule& rule);
  bool lacks_pre_tokenizer() const override { return !vocabulary().pre.has_value(); }

 protected:
  void EncodeText(absl::string_view text, bool starts, std::vector<int32_t>* ids) const override;
  std::string NormalPiece(const std::string& token) const override;
  bool adds_space_prefix() const override { return false; }

 private:
  // Symbols are numbers: ids of tokens, and above them strings that only merges know.
  int32_t SymbolOf(absl::string_view text, absl::flat_hash_map<std::string, int32_t>* others);
  void EncodePiece(absl::string_view piece, std::vector<Symbol>* symbols,
                   std::vector<int32_t>* ids) const;
  std::optional<int32_t> FindWholePiece(absl::string_view piece) const;

  const PreTokenizerRule& rule_;
  const PreTokenizer pre_tokenizer_;
  size_t max_token_bytes_ = 0;
  std::array<int32_t, 256> byte_symbols_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // by left symbol << 32 | right symbol
};

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_BPE_TOKENIZER_H_
