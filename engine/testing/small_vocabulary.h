// A vocabulary of any size from kMinVocabulary up, as SentencePiece makes them.
#ifndef BATON_ENGINE_TESTING_SMALL_VOCABULARY_H_
#define BATON_ENGINE_TESTING_SMALL_VOCABULARY_H_

#include "engine/gguf/gguf_writer.h"

namespace baton {

// <unk>, <s>, </s> and the 256 byte tokens; after them come letters and longer pieces.
inline constexpr int kMinVocabulary = 3 + 256;

// Sets the keys of the tokenizer.
void SetSmallVocabulary(int size, GgufWriter* writer);

}  // namespace baton

#endif  // BATON_ENGINE_TESTING_SMALL_VOCABULARY_H_
