// Which tokens end a generation.
//
// Files name EOS and sometimes an end of turn; chat models end with others too, which are known by
// their text alone. The texts are those of the published models.
#ifndef BATON_ENGINE_TOKENIZER_END_MARKERS_H_
#define BATON_ENGINE_TOKENIZER_END_MARKERS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/tokenizer/vocabulary.h"

namespace baton {

// Ascending ids. A marker that the file calls ordinary text becomes a control token, and the
// channel markers of Harmony (gpt-oss) become text, as readers of their answers need them.
// `eos`: with its default.
std::vector<int32_t> MarkEndTokens(std::optional<int32_t> eos, Vocabulary* vocabulary);

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_END_MARKERS_H_
