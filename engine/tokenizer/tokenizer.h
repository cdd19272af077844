// Text to token ids and back, from the vocabulary in a GGUF file.
#ifndef BATON_ENGINE_TOKENIZER_TOKENIZER_H_
#define BATON_ENGINE_TOKENIZER_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/gguf/gguf_file.h"
#include "engine/tokenizer/text_piece.h"

namespace baton {

// Positions in a text are 32 bits, and SPM writes a space with three bytes.
inline constexpr size_t kMaxTextBytes = size_t{1} << 30;

struct TokenizeOptions {
  bool add_special = true;    // BOS and EOS as the model's metadata says
  bool parse_special = true;  // special tokens in the text are honoured; false: ordinary text
};

// Immutable after Create, so thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // FailedPrecondition naming an unknown tokenizer model or pre-tokenizer; InvalidArgument for a
  // vocabulary that contradicts itself (ids outside it, arrays of different lengths, NaN scores).
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Create(const GgufFile& file);

  // Text that is not UTF-8 is tokenized byte by byte where it is broken. An empty text gives no
  // ids at all. At most kMaxTextBytes.
  virtual std::vector<int32_t> Encode(absl::string_view text,
                                      const TokenizeOptions& options) const = 0;

  // The same ids as of the text in one run, but special tokens count only where they lie inside
  // pieces that parse them. Pieces do not otherwise cut the text.
  virtual std::vector<int32_t> EncodePieces(const std::vector<TextPiece>& pieces,
                                            bool add_special) const = 0;

  // The bytes that one token stands for, within a text; special (control) tokens give nothing
  // unless `render_special`. May be part of a UTF-8 character. Empty for ids outside.
  virtual std::string Piece(int32_t id, bool render_special) const = 0;
  // The whole text; drops the one leading space that SPM vocabularies add.
  virtual std::string Decode(const std::vector<int32_t>& ids, bool render_special) const = 0;

  virtual int32_t vocabulary_size() const = 0;
  virtual std::optional<int32_t> bos() const = 0;  // the id, whether or not it is added
  virtual std::optional<int32_t> eos() const = 0;
  virtual bool adds_bos() const = 0;
  virtual bool adds_eos() const = 0;
  // The file does not name its pre-tokenizer, so the default rule is used, which may not be the
  // model's own: worth a warning.
  virtual bool lacks_pre_tokenizer() const = 0;
  // Ends a generation: EOS, EOT, EOM and tokens whose text is a known end marker.
  virtual bool IsEndOfGeneration(int32_t id) const = 0;
  virtual std::vector<int32_t> EndOfGenerationIds() const = 0;
  virtual bool IsControl(int32_t id) const = 0;
};

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_TOKENIZER_H_
