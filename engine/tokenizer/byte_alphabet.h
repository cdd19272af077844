// GPT-2's alphabet: every byte as one printable Unicode character.
//
// Bytes 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF stand for themselves; the 68 others, in ascending
// order, are U+0100 to U+0143 (a space is U+0120). Source: bytes_to_unicode() in GPT-2's
// published encoder.
#ifndef BATON_ENGINE_TOKENIZER_BYTE_ALPHABET_H_
#define BATON_ENGINE_TOKENIZER_BYTE_ALPHABET_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace baton {

// The character of a byte, in UTF-8.
const std::string& ByteCharacter(uint8_t byte);

// Bytes to characters.
std::string EncodeBytes(absl::string_view bytes);

// Characters to bytes. What is outside the alphabet stays as it is.
std::string DecodeBytes(absl::string_view characters);

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_BYTE_ALPHABET_H_
