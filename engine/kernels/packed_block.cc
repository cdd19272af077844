#include "engine/kernels/packed_block.h"

#include "engine/base/check.h"
#include "engine/kernels/packed_layout.h"
#include "engine/kernels/packed_strip.h"
#include "engine/quant/half.h"
#include "engine/quant/integer_block.h"

namespace baton {
namespace {

// Byte of a quad vector that holds column c of a strip, and the quad's index.
int QuadByte(int row, int c) { return 4 * row + c % 4; }
int QuadIndex(int c) { return c / 4; }  // 0..7

int GetNibble(const uint8_t (&nibbles)[4][kQuadBytes], int row, int c) {
  const uint8_t byte = nibbles[QuadIndex(c) % 4][QuadByte(row, c)];
  return c < 16 ? byte & 15 : byte >> 4;
}
void SetNibble(uint8_t (&nibbles)[4][kQuadBytes], int row, int c, int value) {
  nibbles[QuadIndex(c) % 4][QuadByte(row, c)] |= static_cast<uint8_t>(c < 16 ? value : value << 4);
}

int BitShift(int c) { return 2 * (QuadIndex(c) % 4) + c / 16; }
int GetBit(const uint8_t (&bits)[kQuadBytes], int row, int c) {
  return (bits[QuadByte(row, c)] >> BitShift(c)) & 1;
}
void SetBit(uint8_t (&bits)[kQuadBytes], int row, int c, int value) {
  bits[QuadByte(row, c)] |= static_cast<uint8_t>(value << BitShift(c));
}

int PairShift(int c) { return 2 * (QuadIndex(c) % 4); }
int GetPair(const uint8_t (&pairs)[2][kQuadBytes], int row, int c) {
  return (pairs[c / 16][QuadByte(row, c)] >> PairShift(c)) & 3;
}
void SetPair(uint8_t (&pairs)[2][kQuadBytes], int row, int c, int value) {
  pairs[c / 16][QuadByte(row, c)] |= static_cast<uint8_t>(value << PairShift(c));
}

// The stored bits of a weight: the fields that a strip has, from the lowest bit up.
template <typename Strip>
int GetStored(const Strip& strip, int row, int c) {
  int value = 0, shift = 0;
  if constexpr (requires { strip.nibbles; }) {
    value = GetNibble(strip.nibbles, row, c);
    shift = 4;
  }
  if constexpr (requires { strip.pairs; }) {
    value |= GetPair(strip.pairs, row, c) << shift;
    shift += 2;
  }
  if constexpr (requires { strip.bits; }) value |= GetBit(strip.bits, row, c) << shift;
  return value;
}

template <typename Strip>
void SetStored(Strip& strip, int row, int c, int value) {
  if constexpr (requires { strip.nibbles; }) {
    SetNibble(strip.nibbles, row, c, value & 15);
    value >>= 4;
  }
  if constexpr (requires { strip.pairs; }) {
    SetPair(strip.pairs, row, c, value & 3);
    value >>= 2;
  }
  if constexpr (requires { strip.bits; }) SetBit(strip.bits, row, c, value & 1);
}

// A weight as it is multiplied.
template <typename Strip>
int GetWeight(const Strip& strip, int row, int c) {
  if constexpr (requires { strip.quads; }) {
    return strip.quads[QuadIndex(c)][QuadByte(row, c)];
  } else if constexpr (requires { Strip::kValues; }) {
    return Strip::kValues[GetStored(strip, row, c)];
  } else {
    return GetStored(strip, row, c) - Strip::kOffset;
  }
}

template <typename Strip>
void SetWeight(Strip& strip, int row, int c, int weight) {
  if constexpr (requires { strip.quads; }) {
    strip.quads[QuadIndex(c)][QuadByte(row, c)] = static_cast<int8_t>(weight);
  } else if constexpr (requires { Strip::kValues; }) {
    SetStored(strip, row, c, CodeOf<Strip>(weight));
  } else {
    SetStored(strip, row, c, weight + Strip::kOffset);
  }
}

// Calls visitor.template operator()<Unit>() for a quantized format.
template <typename Visitor, typename First, typename... Rest>
auto Visit(UnitList<First, Rest...>, int index, Visitor& visitor) {
  if constexpr (sizeof...(Rest) > 0) {
    if (index > 0) return Visit(UnitList<Rest...>(), index - 1, visitor);
  }
  CHECK(index == 0);
  return visitor.template operator()<First>();
}
template <typename Visitor>
auto Visit(PackedFormat format, Visitor visitor) {
  return Visit(QuantUnits(), static_cast<int>(format) - kFloatFormatCount, visitor);
}

// --- From the file's blocks -----------------------------------------------------------------

uint16_t LoadU16(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }
uint32_t LoadU32(const uint8_t* p) {
  return LoadU16(p) | static_cast<uint32_t>(LoadU16(p + 2)) << 16;
}

// Q4_0 .. Q5_1: d, [m], [qh: 32 fifth bits], 16 bytes of nibbles.
PackedBlock ReadNibbleBlock(const uint8_t* bytes, bool has_min, bool has_high, int offset) {
  PackedBlock block = {};
  block.d = LoadU16(bytes);
  bytes += 2;
  if (has_min) {
    block.m = LoadU16(bytes);
    bytes += 2;
  }
  uint32_t high = 0;
  if (has_high) {
    high = LoadU32(bytes);
    bytes += 4;
  }
  for (int i = 0; i < 32; ++i) {
    const int nibble = i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4;
    block.q[i] = static_cast<int16_t>((nibble | ((high >> i) & 1) << 4) - offset);
  }
  return block;
}

PackedBlock ReadQ8_0(const uint8_t* bytes) {
  PackedBlock block = {};
  block.d = LoadU16(bytes);
  for (int i = 0; i < 32; ++i) block.q[i] = static_cast<int8_t>(bytes[2 + i]);
  return block;
}

// The eight 6-bit scales and mins of Q4_K and Q5_K in 12 bytes.
void ReadScaleMin(const uint8_t* packed, int strip, PackedBlock& block) {
  if (strip < 4) {
    block.scale[0] = packed[strip] & 63;
    block.min[0] = packed[strip + 4] & 63;
  } else {
    block.scale[0] = (packed[strip + 4] & 15) | (packed[strip - 4] >> 6) << 4;
    block.min[0] = (packed[strip + 4] >> 4) | (packed[strip] >> 6) << 4;
  }
}

// Q4_K and Q5_K: d, dmin, 12 bytes of scales, [32 bytes of fifth bits], 128 bytes of nibbles.
PackedBlock ReadQ45_K(const uint8_t* bytes, int strip, bool has_high) {
  PackedBlock block = {};
  block.d = LoadU16(bytes);
  block.m = LoadU16(bytes + 2);
  ReadScaleMin(bytes + 4, strip, block);
  const uint8_t* high = bytes + 16;
  const uint8_t* nibbles = bytes + (has_high ? 48 : 16) + 32 * (strip / 2);
  for (int i = 0; i < 32; ++i) {
    const int nibble = strip % 2 == 0 ? nibbles[i] & 15 : nibbles[i] >> 4;
    const int fifth = has_high ? (high[i] >> strip) & 1 : 0;
    block.q[i] = static_cast<int16_t>(nibble | fifth << 4);
  }
  return block;
}

// Q2_K and Q3_K keep 128 columns in 32 bytes: strip s of a half is bits 2s and 2s + 1.
int LowPair(const uint8_t* pairs, int strip, int i) {
  return (pairs[32 * (strip / 4) + i] >> (2 * (strip % 4))) & 3;
}

PackedBlock ReadQ2_K(const uint8_t* bytes, int strip) {
  PackedBlock block = {};
  for (int h = 0; h < 2; ++h) {
    block.scale[h] = bytes[2 * strip + h] & 15;
    block.min[h] = bytes[2 * strip + h] >> 4;
  }
  for (int i = 0; i < 32; ++i) block.q[i] = static_cast<int16_t>(LowPair(bytes + 16, strip, i));
  block.d = LoadU16(bytes + 80);
  block.m = LoadU16(bytes + 82);
  return block;
}

PackedBlock ReadQ3_K(const uint8_t* bytes, int strip) {
  PackedBlock block = {};
  const uint8_t* scales = bytes + 96;
  for (int h = 0; h < 2; ++h) {
    const int s = 2 * strip + h;
    const int low = s < 8 ? scales[s] & 15 : scales[s - 8] >> 4;
    const int high = (scales[8 + s % 4] >> (2 * (s / 4))) & 3;
    block.scale[h] = (low | high << 4) - 32;
  }
  for (int i = 0; i < 32; ++i) {
    const int high = (bytes[i] >> strip) & 1;
    block.q[i] = static_cast<int16_t>((LowPair(bytes + 32, strip, i) | high << 2) - 4);
  }
  block.d = LoadU16(bytes + 108);
  return block;
}

PackedBlock ReadQ6_K(const uint8_t* bytes, int strip) {
  PackedBlock block = {};
  const uint8_t* low = bytes + 64 * (strip / 4) + 32 * (strip % 2);
  const uint8_t* high = bytes + 128 + 32 * (strip / 4);
  const int low_shift = strip % 4 < 2 ? 0 : 4;
  const int high_shift = 2 * (strip % 4);
  for (int i = 0; i < 32; ++i) {
    const int q = ((low[i] >> low_shift) & 15) | ((high[i] >> high_shift) & 3) << 4;
    block.q[i] = static_cast<int16_t>(q - 32);
  }
  for (int h = 0; h < 2; ++h) {
    block.scale[h] = static_cast<int8_t>(bytes[192 + 8 * (strip / 4) + 2 * (strip % 4) + h]);
  }
  block.d = LoadU16(bytes + 208);
  return block;
}

PackedBlock ReadIntegers(TensorType type, const uint8_t* bytes, int strip) {
  const IntegerBlock from = ReadIntegerBlock(type, bytes, strip);
  PackedBlock block = {};
  for (int i = 0; i < 32; ++i) block.q[i] = from.q[i];
  block.d = from.d[0];
  Visit(PackedFormatOf(type), [&]<typename Unit>() {
    if constexpr (RuleOf<Unit>() == Rule::kHalves) block.m = from.d[1];
    if constexpr (RuleOf<Unit>() == Rule::kSub) {
      for (int h = 0; h < 2; ++h) block.scale[h] = from.scale[h];
    }
    if constexpr (requires(typename Unit::Strip s) { s.scale; }) block.scale[0] = from.scale[0];
  });
  return block;
}

}  // namespace

int64_t PackedUnitColumns(PackedFormat format) {
  if (IsFloatFormat(format)) return 1;
  return kStripColumns * Visit(format, []<typename Unit>() { return Unit::kStrips; });
}

int64_t PackedUnitBytes(PackedFormat format) {
  if (format == PackedFormat::kF32) return kRowGroup * 4;
  if (IsFloatFormat(format)) return kRowGroup * 2;
  return Visit(format, []<typename Unit>() { return static_cast<int>(sizeof(Unit)); });
}

PackedFormat PackedFormatOf(TensorType type) {
  switch (type) {
    case TensorType::kF32:
    case TensorType::kF64:  // rounded at load
      return PackedFormat::kF32;
    case TensorType::kF16:
      return PackedFormat::kF16;
    case TensorType::kBF16:
      return PackedFormat::kBF16;
    case TensorType::kQ4_0:
      return PackedFormat::kQ4_0;
    case TensorType::kQ4_1:
      return PackedFormat::kQ4_1;
    case TensorType::kQ5_0:
      return PackedFormat::kQ5_0;
    case TensorType::kQ5_1:
      return PackedFormat::kQ5_1;
    case TensorType::kQ8_0:
      return PackedFormat::kQ8_0;
    case TensorType::kQ2_K:
      return PackedFormat::kQ2_K;
    case TensorType::kQ3_K:
      return PackedFormat::kQ3_K;
    case TensorType::kQ4_K:
      return PackedFormat::kQ4_K;
    case TensorType::kQ5_K:
      return PackedFormat::kQ5_K;
    case TensorType::kQ6_K:
      return PackedFormat::kQ6_K;
    case TensorType::kIQ1_S:
    case TensorType::kIQ1_M:
      return PackedFormat::kIQ1;
    case TensorType::kIQ2_XXS:
    case TensorType::kIQ2_XS:
    case TensorType::kIQ2_S:
      return PackedFormat::kIQ2;
    case TensorType::kIQ3_XXS:
      return PackedFormat::kIQ3_XXS;
    case TensorType::kIQ3_S:
      return PackedFormat::kIQ3_S;
    case TensorType::kIQ4_NL:
      return PackedFormat::kIQ4_NL;
    case TensorType::kIQ4_XS:
      return PackedFormat::kIQ4_XS;
    case TensorType::kMXFP4:
      return PackedFormat::kMXFP4;
    case TensorType::kNVFP4:
      return PackedFormat::kNVFP4;
    case TensorType::kTQ1_0:
    case TensorType::kTQ2_0:
      return PackedFormat::kTernary;
    case TensorType::kQ2_0:
      return PackedFormat::kQ2_0;
    case TensorType::kQ1_0:
      return PackedFormat::kQ1_0;
    default:  // nothing multiplies with the others
      break;
  }
  CHECK(false);
}

float BlockScale(PackedFormat format, const PackedBlock& block) {
  return Visit(format, [&]<typename Unit>() {
    using Strip = typename Unit::Strip;
    const float d = requires(Strip s) { s.d[0].bits; }
    ? BFloat16ToFloat(block.d) : HalfToFloat(block.d);
    if constexpr (requires { Strip::kScaleUnit; }) return d * Strip::kScaleUnit;
    return d;
  });
}

PackedBlock ReadPackedBlock(PackedFormat format, const uint8_t* group, int64_t strip, int row) {
  return Visit(format, [=]<typename Unit>() {
    PackedBlock block = {};
    const Unit& unit = reinterpret_cast<const Unit*>(group)[strip / Unit::kStrips];
    const auto& s = unit.strips[strip % Unit::kStrips];
    for (int c = 0; c < kStripColumns; ++c) {
      block.q[c] = static_cast<int16_t>(GetWeight(s, row, c));
    }
    GetScales(s, row, block);
    GetScales(unit, row, block);
    return block;
  });
}

void WritePackedBlock(PackedFormat format, uint8_t* group, int64_t strip, int row,
                      const PackedBlock& block) {
  Visit(format, [=]<typename Unit>() {
    Unit& unit = reinterpret_cast<Unit*>(group)[strip / Unit::kStrips];
    auto& s = unit.strips[strip % Unit::kStrips];
    for (int c = 0; c < kStripColumns; ++c) SetWeight(s, row, c, block.q[c]);
    SetScales(block, row, s);
    SetScales(block, row, unit);
  });
}

void DequantizePackedBlock(PackedFormat format, const PackedBlock& block, float* out) {
  // Every product below is exact in a float (a half has 11 bits, a sub-scale at most 8, q at most
  // 8), so only the final subtraction or sum rounds, as in the reference.
  const float d = BlockScale(format, block);
  const float m = HalfToFloat(block.m);
  for (int i = 0; i < 32; ++i) {
    const int h = i / 16;
    const float q = block.q[i];
    switch (format) {
      case PackedFormat::kQ4_1:
      case PackedFormat::kQ5_1:
        out[i] = d * q + m;
        break;
      case PackedFormat::kQ4_K:
      case PackedFormat::kQ5_K:
        out[i] = d * block.scale[0] * q - m * block.min[0];
        break;
      case PackedFormat::kQ2_K:
        out[i] = d * block.scale[h] * q - m * block.min[h];
        break;
      case PackedFormat::kQ3_K:
      case PackedFormat::kQ6_K:
      case PackedFormat::kIQ1:
      case PackedFormat::kIQ2:
        out[i] = d * block.scale[h] * q;
        break;
      case PackedFormat::kIQ3_XXS:
      case PackedFormat::kIQ3_S:
      case PackedFormat::kIQ4_XS:
        out[i] = d * block.scale[0] * q;
        break;
      case PackedFormat::kNVFP4:
        out[i] = (h == 0 ? d : m) * q;
        break;
      default:
        out[i] = d * q;
        break;
    }
  }
}

PackedBlock ReadFileBlock(TensorType type, const uint8_t* row_bytes, int64_t strip) {
  const TypeTraits& traits = TraitsOf(type);
  const int64_t strips_per_block = traits.block_elements / kStripColumns;
  const uint8_t* bytes = row_bytes + strip / strips_per_block * traits.block_bytes;
  const int s = static_cast<int>(strip % strips_per_block);
  switch (type) {
    case TensorType::kQ4_0:
      return ReadNibbleBlock(bytes, false, false, 8);
    case TensorType::kQ4_1:
      return ReadNibbleBlock(bytes, true, false, 0);
    case TensorType::kQ5_0:
      return ReadNibbleBlock(bytes, false, true, 16);
    case TensorType::kQ5_1:
      return ReadNibbleBlock(bytes, true, true, 0);
    case TensorType::kQ8_0:
      return ReadQ8_0(bytes);
    case TensorType::kQ2_K:
      return ReadQ2_K(bytes, s);
    case TensorType::kQ3_K:
      return ReadQ3_K(bytes, s);
    case TensorType::kQ4_K:
      return ReadQ45_K(bytes, s, false);
    case TensorType::kQ5_K:
      return ReadQ45_K(bytes, s, true);
    case TensorType::kQ6_K:
      return ReadQ6_K(bytes, s);
    default:
      return ReadIntegers(type, bytes, s);
  }
}

}  // namespace baton
