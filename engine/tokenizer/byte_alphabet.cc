#include "engine/tokenizer/byte_alphabet.h"

#include <array>

#include "engine/tokenizer/utf8.h"

namespace baton {
namespace {

// One past the highest character of the alphabet.
constexpr uint32_t kAlphabetEnd = 0x144;

struct Alphabet {
  std::array<std::string, 256> characters;
  std::array<int, kAlphabetEnd> bytes;  // by code point; -1: not in the alphabet

  Alphabet() {
    bytes.fill(-1);
    uint32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool is_itself = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      const uint32_t code_point = is_itself ? byte : next++;
      AppendUtf8(code_point, &characters[byte]);
      bytes[code_point] = byte;
    }
  }
};

const Alphabet& GetAlphabet() {
  static const Alphabet* const alphabet = new Alphabet();
  return *alphabet;
}

}  // namespace

const std::string& ByteCharacter(uint8_t byte) { return GetAlphabet().characters[byte]; }

std::string EncodeBytes(absl::string_view bytes) {
  std::string characters;
  for (const char byte : bytes) characters += ByteCharacter(static_cast<uint8_t>(byte));
  return characters;
}

std::string DecodeBytes(absl::string_view characters) {
  const Alphabet& alphabet = GetAlphabet();
  std::string bytes;
  for (size_t at = 0; at < characters.size();) {
    const size_t length = Utf8CharLength(characters, at);
    const absl::string_view character = characters.substr(at, length == 0 ? 1 : length);
    const uint32_t code_point = length == 0 ? kAlphabetEnd : DecodeUtf8(character);
    if (code_point < kAlphabetEnd && alphabet.bytes[code_point] >= 0) {
      bytes.push_back(static_cast<char>(alphabet.bytes[code_point]));
    } else {
      bytes.append(character.data(), character.size());
    }
    at += character.size();
  }
  return bytes;
}

}  // namespace baton
