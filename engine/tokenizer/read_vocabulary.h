// The vocabulary in a GGUF file's metadata.
#ifndef BATON_ENGINE_TOKENIZER_READ_VOCABULARY_H_
#define BATON_ENGINE_TOKENIZER_READ_VOCABULARY_H_

#include "absl/status/statusor.h"
#include "engine/gguf/gguf_file.h"
#include "engine/tokenizer/vocabulary.h"

namespace baton {

// FailedPrecondition for a tokenizer model other than "llama" and "gpt2"; InvalidArgument for
// missing keys and keys of another type. What ValidateVocabulary checks is left to it.
absl::StatusOr<Vocabulary> ReadVocabulary(const GgufFile& file);

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_READ_VOCABULARY_H_
