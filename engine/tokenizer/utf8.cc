#include "engine/tokenizer/utf8.h"

#include <algorithm>

#include "engine/base/check.h"

namespace baton {
namespace {

struct LeadByte {
  size_t length = 0;  // 0: starts no character
  // Range of the second byte, which is where overlong forms and surrogates show.
  uint8_t second_min = 0x80;
  uint8_t second_max = 0xBF;
};

LeadByte Classify(uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2 || byte > 0xF4) return {0};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {4};
}

// How many of the bytes that `lead` asks for are there and fit, the lead byte included.
size_t FittingBytes(absl::string_view text, size_t at, const LeadByte& lead) {
  const size_t end = std::min(lead.length, text.size() - at);
  for (size_t i = 1; i < end; ++i) {
    const uint8_t byte = static_cast<uint8_t>(text[at + i]);
    const uint8_t min = i == 1 ? lead.second_min : 0x80;
    const uint8_t max = i == 1 ? lead.second_max : 0xBF;
    if (byte < min || byte > max) return i;
  }
  return end;
}

}  // namespace

size_t Utf8CharLength(absl::string_view text, size_t at) {
  const LeadByte lead = Classify(static_cast<uint8_t>(text[at]));
  return FittingBytes(text, at, lead) == lead.length ? lead.length : 0;
}

bool IsUtf8(absl::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = Utf8CharLength(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

size_t CountUtf8Beginnings(absl::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

size_t IncompleteUtf8Suffix(absl::string_view text) {
  for (size_t length = 1; length <= std::min<size_t>(3, text.size()); ++length) {
    const size_t at = text.size() - length;
    const LeadByte lead = Classify(static_cast<uint8_t>(text[at]));
    if (lead.length > length && FittingBytes(text, at, lead) == length) return length;
  }
  return 0;
}

void AppendUtf8(uint32_t code_point, std::string* out) {
  CHECK(code_point <= 0x10FFFF);
  if (code_point < 0x80) {
    out->push_back(static_cast<char>(code_point));
    return;
  }
  const int continuation_count = code_point < 0x800 ? 1 : code_point < 0x10000 ? 2 : 3;
  const uint32_t lead_bits[] = {0, 0xC0, 0xE0, 0xF0};
  out->push_back(
      static_cast<char>(lead_bits[continuation_count] | (code_point >> (6 * continuation_count))));
  for (int i = continuation_count - 1; i >= 0; --i) {
    out->push_back(static_cast<char>(0x80 | ((code_point >> (6 * i)) & 0x3F)));
  }
}

uint32_t DecodeUtf8(absl::string_view character) {
  const uint8_t lead_mask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  uint32_t code_point = static_cast<uint8_t>(character[0]) & lead_mask[character.size()];
  for (size_t i = 1; i < character.size(); ++i) {
    code_point = code_point << 6 | (static_cast<uint8_t>(character[i]) & 0x3F);
  }
  return code_point;
}

}  // namespace baton
