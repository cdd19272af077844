#include "engine/quant/blocks.h"

#include <bit>

namespace baton {

void UnpackQ3KScales(const uint8_t packed[12], int8_t scales[16]) {
  for (int j = 0; j < 16; ++j) {
    const int low = j < 8 ? packed[j] & 15 : packed[j - 8] >> 4;
    const int high = (packed[8 + j % 4] >> (j / 4 * 2)) & 3;
    scales[j] = static_cast<int8_t>((low | high << 4) - 32);
  }
}

void UnpackQ4KScales(const uint8_t packed[12], uint8_t scales[8], uint8_t mins[8]) {
  for (int j = 0; j < 4; ++j) {
    scales[j] = packed[j] & 63;
    mins[j] = packed[4 + j] & 63;
    scales[4 + j] = static_cast<uint8_t>((packed[8 + j] & 15) | (packed[j] >> 6) << 4);
    mins[4 + j] = static_cast<uint8_t>((packed[8 + j] >> 4) | (packed[4 + j] >> 6) << 4);
  }
}

void PackQ4KScales(const uint8_t scales[8], const uint8_t mins[8], uint8_t packed[12]) {
  for (int j = 0; j < 4; ++j) {
    packed[j] = static_cast<uint8_t>(scales[j] | (scales[4 + j] >> 4) << 6);
    packed[4 + j] = static_cast<uint8_t>(mins[j] | (mins[4 + j] >> 4) << 6);
    packed[8 + j] = static_cast<uint8_t>((scales[4 + j] & 15) | (mins[4 + j] & 15) << 4);
  }
}

uint16_t UnpackIQ1MScale(const uint8_t scales[8]) {
  int d = 0;
  for (int i = 0; i < 4; ++i) d |= (scales[2 * i + 1] >> 4) << (4 * i);
  return static_cast<uint16_t>(d);
}

void PackIQ1MScale(uint16_t d, uint8_t scales[8]) {
  for (int i = 0; i < 4; ++i) {
    const int nibble = (d >> (4 * i)) & 15;
    scales[2 * i + 1] = static_cast<uint8_t>((scales[2 * i + 1] & 15) | nibble << 4);
  }
}

uint16_t UnpackMXFP4Scale(uint8_t e) {
  // The exponent of a bfloat16 has the bias 127, and its denormals reach 2^-133.
  return static_cast<uint16_t>(e < 2 ? 0x20 << e : (e - 1) << 7);
}

uint16_t UnpackNVFP4Scale(uint8_t d) {
  const int exponent = (d >> 3) & 15, mantissa = d & 7;
  if ((d & 0x7f) == 0x7f) return 0;
  // The biases are 15 and 7, and halving takes one more: 15 - 7 - 1.
  if (exponent != 0) return static_cast<uint16_t>((exponent + 7) << 10 | mantissa << 7);
  // mantissa * 2^-10, which a half has as a normal number.
  if (mantissa == 0) return 0;
  const int top = std::bit_width(static_cast<unsigned>(mantissa)) - 1;
  return static_cast<uint16_t>((top + 5) << 10 | (mantissa << (10 - top) & 0x3ff));
}

}  // namespace baton
