// A run of a prompt, and who wrote it.
#ifndef BATON_ENGINE_TOKENIZER_TEXT_PIECE_H_
#define BATON_ENGINE_TOKENIZER_TEXT_PIECE_H_

#include <string>

namespace baton {

// A prompt is its pieces one after another. Special tokens are looked for inside the pieces that
// we wrote; what a user wrote stays text, whatever it reads.
struct TextPiece {
  std::string text;
  bool parse_special = true;
};

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_TEXT_PIECE_H_
