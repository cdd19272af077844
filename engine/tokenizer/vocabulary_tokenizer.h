// What SPM and BPE tokenizers have in common: special tokens, BOS and EOS, pieces.
#ifndef BATON_ENGINE_TOKENIZER_VOCABULARY_TOKENIZER_H_
#define BATON_ENGINE_TOKENIZER_VOCABULARY_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "engine/tokenizer/special_tokens.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/vocabulary.h"

namespace baton {

// As Tokenizer::Create, from a vocabulary that ReadVocabulary gave or a test made; validates it.
absl::StatusOr<std::unique_ptr<Tokenizer>> CreateTokenizer(Vocabulary vocabulary);

// What holds where the file's metadata says nothing (defaults of the GGUF ecosystem).
struct TokenizerDefaults {
  // Ids outside the vocabulary mean none.
  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
  std::optional<int32_t> unknown;
  bool adds_bos = false;
};

class VocabularyTokenizer : public Tokenizer {
 public:
  std::vector<int32_t> Encode(absl::string_view text, const TokenizeOptions& options) const final;
  std::vector<int32_t> EncodePieces(const std::vector<TextPiece>& pieces,
                                    bool add_special) const final;
  std::string Piece(int32_t id, bool render_special) const final;
  std::string Decode(const std::vector<int32_t>& ids, bool render_special) const final;

  int32_t vocabulary_size() const final { return static_cast<int32_t>(vocabulary_.tokens.size()); }
  std::optional<int32_t> bos() const final { return bos_; }
  std::optional<int32_t> eos() const final { return eos_; }
  bool adds_bos() const final { return adds_bos_; }
  bool adds_eos() const final { return adds_eos_; }
  bool IsEndOfGeneration(int32_t id) const final;
  std::vector<int32_t> EndOfGenerationIds() const final { return end_ids_; }
  bool IsControl(int32_t id) const final;

 protected:
  // `vocabulary` has been validated.
  VocabularyTokenizer(Vocabulary vocabulary, const TokenizerDefaults& defaults);

  // Ids of a run of plain text, which is not empty. `starts`: it stands at the start of the whole
  // text or right after a special token.
  virtual void EncodeText(absl::string_view text, bool starts, std::vector<int32_t>* ids) const = 0;
  // The bytes of a normal token.
  virtual std::string NormalPiece(const std::string& token) const = 0;
  // Whether EncodeText puts a space before a text that starts.
  virtual bool adds_space_prefix() const = 0;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  std::optional<int32_t> unknown() const { return unknown_; }
  // Among all tokens, whatever their type.
  std::optional<int32_t> FindToken(absl::string_view text) const;

 private:
  std::vector<int32_t> EncodeRanges(absl::string_view text, const std::vector<TextRange>& parsed,
                                    bool add_special) const;
  bool IsInside(int32_t id) const { return id >= 0 && id < vocabulary_size(); }

  Vocabulary vocabulary_;
  absl::flat_hash_map<absl::string_view, int32_t> ids_;  // keys point into vocabulary_
  std::optional<int32_t> bos_;
  std::optional<int32_t> eos_;
  std::optional<int32_t> unknown_;
  bool adds_bos_;
  bool adds_eos_;
  std::vector<int32_t> end_ids_;  // ascending
  SpecialTokens special_tokens_;
};

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_VOCABULARY_TOKENIZER_H_
