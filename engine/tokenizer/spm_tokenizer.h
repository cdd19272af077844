// SentencePiece's BPE, from the scores of its vocabulary.
//
// Text becomes UTF-8 characters, a space U+2581; the adjacent pair that is the token with the
// highest score is merged (ties: leftmost) until no pair is a token. Characters without a token
// become <0xHH> bytes, or the unknown token where the vocabulary has none. Source: SentencePiece's
// bpe_model.cc.
#ifndef BATON_ENGINE_TOKENIZER_SPM_TOKENIZER_H_
#define BATON_ENGINE_TOKENIZER_SPM_TOKENIZER_H_

#include <array>

#include "engine/tokenizer/merge.h"
#include "engine/tokenizer/vocabulary_tokenizer.h"

namespace baton {

class SpmTokenizer : public VocabularyTokenizer {
 public:
  // `vocabulary` has been validated.
  explicit SpmTokenizer(Vocabulary vocabulary);
  bool lacks_pre_tokenizer() const override { return false; }

 protected:
  void EncodeText(absl::string_view text, bool starts, std::vector<int32_t>* ids) const override;
  std::string NormalPiece(const std::string& token) const override;
  bool adds_space_prefix() const override { return adds_space_prefix_; }

 private:
  // A token that text may become: control and byte tokens are none, whatever is typed.
  std::optional<int32_t> FindTextToken(absl::string_view text) const;
  void EncodeSymbol(absl::string_view text, std::vector<int32_t>* ids) const;

  bool adds_space_prefix_;
  size_t max_token_bytes_ = 0;
  std::array<int32_t, 256> byte_ids_;  // kNoToken where the vocabulary lacks one
};

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_SPM_TOKENIZER_H_
