// UTF-8, as RFC 3629 defines it: no surrogates, no overlong forms, nothing above U+10FFFF.
#ifndef BATON_ENGINE_TOKENIZER_UTF8_H_
#define BATON_ENGINE_TOKENIZER_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace baton {

// Bytes of the well-formed character at `at` (1 to 4), or 0 where none starts there.
// `at` < text.size().
size_t Utf8CharLength(absl::string_view text, size_t at);

bool IsUtf8(absl::string_view text);

// Characters that begin in the text, which may end, or begin, in the middle of one.
size_t CountUtf8Beginnings(absl::string_view text);

// Bytes at the end of the text (0 to 3) that are the beginning of a character and not yet all of
// it: what may become well-formed when more bytes follow.
size_t IncompleteUtf8Suffix(absl::string_view text);

// `code_point` <= 0x10FFFF and no surrogate.
void AppendUtf8(uint32_t code_point, std::string* out);

// The code point of a well-formed character, as Utf8CharLength delimits it.
uint32_t DecodeUtf8(absl::string_view character);

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_UTF8_H_
