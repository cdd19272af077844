#include "engine/kernels/pack_group.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <vector>

#include "engine/base/check.h"
#include "engine/kernels/packed_block.h"
#include "engine/kernels/packed_layout.h"
#include "engine/kernels/packed_strip.h"
#include "engine/quant/blocks.h"
#include "engine/quant/dequantize.h"

namespace baton {
namespace {

static_assert(std::endian::native == std::endian::little);

// A quad vector holds four bytes of each row: one 32-bit word. So packing is a transposition of
// words, rows to columns, and shifts and masks on what comes out. It goes four rows at a time: four
// words fill a register that every CPU has, so this needs no instruction set of its own.
constexpr int kLanes = 4;
using Words = uint32_t __attribute__((vector_size(4 * kLanes)));  // one word of each of four rows

template <typename Vector>
Vector LoadVector(const void* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

// words[i]: word i of each of four rows, for 4 * count words of a row.
inline void TransposeWords(const uint8_t* rows, int64_t row_bytes, int count, Words* words) {
  for (int i = 0; i < count; ++i, rows += sizeof(Words), words += kLanes) {
    const Words a = LoadVector<Words>(rows), b = LoadVector<Words>(rows + row_bytes);
    const Words c = LoadVector<Words>(rows + 2 * row_bytes);
    const Words d = LoadVector<Words>(rows + 3 * row_bytes);
    const Words ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const Words ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const Words cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const Words cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    words[0] = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    words[1] = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    words[2] = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    words[3] = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
  }
}

// The blocks of four rows at the same columns, and where the rows stand in their group.
template <typename Block>
struct FourBlocks {
  const uint8_t* first;
  int64_t row_bytes;
  int row;  // of the first block in [0, kRowGroup), a multiple of kLanes

  const Block& at(int i) const { return *reinterpret_cast<const Block*>(first + i * row_bytes); }
};

// A field of the four blocks, by words.
template <typename Block, size_t bytes>
struct Field {
  Words words[bytes / 4];

  Field(const FourBlocks<Block>& from, const uint8_t (Block::*field)[bytes]) {
    static_assert(bytes % 4 == 0);
    constexpr int kWhole = bytes / sizeof(Words);
    TransposeWords(from.at(0).*field, from.row_bytes, kWhole, words);
    for (size_t i = kWhole * kLanes; i < bytes / 4; ++i) {
      const auto word = [&](int r) { return LoadVector<uint32_t>(from.at(r).*field + 4 * i); };
      words[i] = Words{word(0), word(1), word(2), word(3)};
    }
  }
};

template <typename Byte>
void StoreQuad(Words words, int row, Byte (&quad)[kQuadBytes]) {
  std::memcpy(quad + 4 * row, &words, sizeof(words));
}

// --- Fields of a strip, from eight words with a byte per weight, its bits from `shift` on ------

void StoreNibbles(const Words* bytes, int shift, int row, uint8_t (&nibbles)[4][kQuadBytes]) {
  for (int j = 0; j < 4; ++j) {
    const Words low = (bytes[j] >> shift) & 0x0f0f0f0f;
    const Words high = (bytes[j + 4] >> shift) & 0x0f0f0f0f;
    StoreQuad(low | high << 4, row, nibbles[j]);
  }
}

void StorePairs(const Words* bytes, int shift, int row, uint8_t (&pairs)[2][kQuadBytes]) {
  for (int h = 0; h < 2; ++h) {
    Words packed = {};
    for (int j = 0; j < 4; ++j) packed |= ((bytes[4 * h + j] >> shift) & 0x03030303) << (2 * j);
    StoreQuad(packed, row, pairs[h]);
  }
}

void StoreBits(const Words* bytes, int shift, int row, uint8_t (&bits)[kQuadBytes]) {
  Words packed = {};
  for (int j = 0; j < 4; ++j) {
    packed |= ((bytes[j] >> shift) & 0x01010101) << (2 * j);
    packed |= ((bytes[j + 4] >> shift) & 0x01010101) << (2 * j + 1);
  }
  StoreQuad(packed, row, bits);
}

// Swaps the bits of `mask` with those `shift` places above them.
inline Words SwapBits(Words x, uint32_t mask, int shift) {
  const Words differ = (x ^ (x >> shift)) & mask;
  return x ^ differ ^ (differ << shift);
}

// The same from a word with bit i for weight i: bit 16 h + 4 j + k becomes bit 8 k + 2 j + h. In
// the binary number of a bit's place that is an exchange of digits, two at a time.
void StoreBits(Words flags, int row, uint8_t (&bits)[kQuadBytes]) {
  flags = SwapBits(flags, 0x0000aaaa, 15);  // digits 4 and 0
  flags = SwapBits(flags, 0x0000cccc, 14);  // digits 4 and 1
  flags = SwapBits(flags, 0x00cc00cc, 6);   // digits 3 and 1
  flags = SwapBits(flags, 0x0c0c0c0c, 2);   // digits 2 and 1
  StoreQuad(flags, row, bits);
}

// --- Scales ----------------------------------------------------------------------------------

template <typename Block, typename Scales>  // Scales is Unit or Strip
void StoreScales(const FourBlocks<Block>& from, Scales& to) {
  for (int i = 0; i < kLanes; ++i) {
    const int row = from.row + i;
    if constexpr (requires { to.d; }) std::memcpy(&to.d[row], from.at(i).d, 2);
    if constexpr (requires { to.m; }) std::memcpy(&to.m[row], from.at(i).m, 2);
    if constexpr (requires { to.dmin; }) std::memcpy(&to.dmin[row], from.at(i).dmin, 2);
  }
}

using Bytes = uint8_t __attribute__((vector_size(16)));

// Word i of the result: byte i of each of the four.
inline Words TransposeBytes(Words words) {
  for (int i = 0; i < 2; ++i) {
    const Bytes low = std::bit_cast<Bytes>(words);
    const Bytes high = std::bit_cast<Bytes>(__builtin_shufflevector(words, words, 2, 3, 2, 3));
    words = std::bit_cast<Words>(
        __builtin_shufflevector(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
  }
  return words;
}

// Four scales of each of four rows, a byte each; place(i) is where scale i of the rows goes.
template <typename Place>
void StoreSubScales(Words scales, const Place& place) {
  scales = TransposeBytes(scales);
  for (int i = 0; i < 4; ++i) {
    const uint32_t rows = scales[i];
    std::memcpy(place(i), &rows, sizeof(rows));
  }
}

// Four of the sixteen scales of a unit, from scale 4 * quarter on.
template <typename Unit>
void StoreHalfScales(Words scales, int quarter, int row, Unit& unit) {
  StoreSubScales(scales, [&](int i) { return &unit.strips[2 * quarter + i / 2].sub[i % 2][row]; });
}

template <typename Block, typename Unit>  // Q2_K, Q6_K: bytes as they are
requires(sizeof(Block::scales) ==
         2 * kSuperStrips) void StoreSubScales(const FourBlocks<Block>& from, Unit& unit) {
  const Field scales(from, &Block::scales);
  for (int i = 0; i < 4; ++i) StoreHalfScales(scales.words[i], i, from.row, unit);
}

// As UnpackQ3KScales.
void StoreSubScales(const FourBlocks<BlockQ3_K>& from, UnitQ3_K& unit) {
  const Field scales(from, &BlockQ3_K::scales);
  for (int i = 0; i < 4; ++i) {
    const Words low = (scales.words[i % 2] >> (i / 2 * 4)) & 0x0f0f0f0f;
    const Words high = (scales.words[2] >> (2 * i)) & 0x03030303;
    const Bytes stored = std::bit_cast<Bytes>(low | high << 4);
    StoreHalfScales(std::bit_cast<Words>(stored - 32), i, from.row, unit);
  }
}

// As UnpackQ4KScales.
template <typename Block, typename Unit>  // Q4_K, Q5_K
void StoreSubScales(const FourBlocks<Block>& from, Unit& unit) {
  const Field scales(from, &Block::scales);
  const Words a = scales.words[0], b = scales.words[1], c = scales.words[2];
  const Words high_scales = (c & 0x0f0f0f0f) | ((a >> 2) & 0x30303030);
  const Words high_mins = ((c >> 4) & 0x0f0f0f0f) | ((b >> 2) & 0x30303030);
  const int row = from.row;
  StoreSubScales(a & 0x3f3f3f3f, [&](int i) { return &unit.strips[i].sub_scale[row]; });
  StoreSubScales(high_scales, [&](int i) { return &unit.strips[4 + i].sub_scale[row]; });
  StoreSubScales(b & 0x3f3f3f3f, [&](int i) { return &unit.strips[i].sub_min[row]; });
  StoreSubScales(high_mins, [&](int i) { return &unit.strips[4 + i].sub_min[row]; });
}

// --- Four rows of a unit, by the drawings in blocks.h ------------------------------------------

template <typename Block, typename Strip>
void PackFour(const FourBlocks<Block>& from, PlainUnit<Strip>& unit) {
  Strip& strip = unit.strips[0];
  const Field qs(from, &Block::qs);
  if constexpr (requires { strip.quads; }) {
    for (int j = 0; j < 8; ++j) StoreQuad(qs.words[j], from.row, strip.quads[j]);
  } else {
    // The file's bytes hold weights i and 16 + i, as the strip's do.
    for (int j = 0; j < 4; ++j) StoreQuad(qs.words[j], from.row, strip.nibbles[j]);
  }
  if constexpr (requires { strip.bits; }) {
    const Field qh(from, &Block::qh);
    StoreBits(qh.words[0], from.row, strip.bits);
  }
  StoreScales(from, strip);
}

template <typename Block, typename Unit>  // Q2_K, Q3_K
void PackFourOfPairs(const FourBlocks<Block>& from, Unit& unit) {
  const Field qs(from, &Block::qs);
  for (int s = 0; s < kSuperStrips; ++s) {
    StorePairs(qs.words + s / 4 * 8, s % 4 * 2, from.row, unit.strips[s].pairs);
  }
  StoreScales(from, unit);
  StoreSubScales(from, unit);
}

void PackFour(const FourBlocks<BlockQ2_K>& from, UnitQ2_K& unit) { PackFourOfPairs(from, unit); }

void PackFour(const FourBlocks<BlockQ3_K>& from, UnitQ3_K& unit) {
  PackFourOfPairs(from, unit);
  const Field hmask(from, &BlockQ3_K::hmask);
  for (int s = 0; s < kSuperStrips; ++s) {
    StoreBits(hmask.words, s, from.row, unit.strips[s].bits);
  }
}

template <typename Block, typename Unit>  // Q4_K, Q5_K
void PackFourOfNibbles(const FourBlocks<Block>& from, Unit& unit) {
  const Field qs(from, &Block::qs);
  for (int s = 0; s < kSuperStrips; ++s) {
    StoreNibbles(qs.words + s / 2 * 8, s % 2 * 4, from.row, unit.strips[s].nibbles);
  }
  StoreScales(from, unit);
  StoreSubScales(from, unit);
}

void PackFour(const FourBlocks<BlockQ4_K>& from, UnitQ4_K& unit) { PackFourOfNibbles(from, unit); }

void PackFour(const FourBlocks<BlockQ5_K>& from, UnitQ5_K& unit) {
  PackFourOfNibbles(from, unit);
  const Field qh(from, &BlockQ5_K::qh);
  for (int s = 0; s < kSuperStrips; ++s) StoreBits(qh.words, s, from.row, unit.strips[s].bits);
}

void PackFour(const FourBlocks<BlockQ6_K>& from, UnitQ6_K& unit) {
  const Field ql(from, &BlockQ6_K::ql);
  const Field qh(from, &BlockQ6_K::qh);
  for (int s = 0; s < kSuperStrips; ++s) {
    auto& strip = unit.strips[s];
    StoreNibbles(ql.words + (s / 4 * 2 + s % 2) * 8, s % 4 / 2 * 4, from.row, strip.nibbles);
    StorePairs(qh.words + s / 4 * 8, s % 4 * 2, from.row, strip.pairs);
  }
  StoreScales(from, unit);
  StoreSubScales(from, unit);
}

template <typename Block, typename Unit>
void PackUnits(const uint8_t* file_rows, int64_t columns, uint8_t* group) {
  const int64_t unit_count = columns / Block::kElements;
  const int64_t row_bytes = unit_count * sizeof(Block);
  for (int64_t u = 0; u < unit_count; ++u) {
    Unit& unit = reinterpret_cast<Unit*>(group)[u];
    for (int row = 0; row < kRowGroup; row += kLanes) {
      const uint8_t* first = file_rows + row * row_bytes + u * sizeof(Block);
      PackFour(FourBlocks<Block>{first, row_bytes, row}, unit);
    }
  }
}

// --- Types that are codes and small integers: block by block, as the slow twin reads them
// -----------

template <typename Strip>
uint8_t StoredCode(int weight) {
  if constexpr (requires { Strip::kValues; }) return CodeOf<Strip>(weight);
  return static_cast<uint8_t>(weight + Strip::kOffset);
}

// A strip's fields of four rows, from a byte for each weight.
template <typename Strip>
void StoreCodes(const uint8_t (&codes)[kLanes][kStripColumns], int row, Strip& strip) {
  Words words[kStripColumns / 4];
  TransposeWords(codes[0], kStripColumns, kStripColumns / 16, words);
  if constexpr (requires { strip.nibbles; }) StoreNibbles(words, 0, row, strip.nibbles);
  if constexpr (requires { strip.pairs; }) StorePairs(words, 0, row, strip.pairs);
  if constexpr (requires { strip.bits; }) {
    StoreBits(
        words, requires { strip.pairs; } ? 2 : 0, row, strip.bits);
  }
}

template <typename Unit>
void PackIntegers(TensorType type, const uint8_t* file_rows, int64_t columns, uint8_t* group) {
  const int64_t row_bytes = RowBytes(type, columns);
  for (int64_t s = 0; s < columns / kStripColumns; ++s) {
    Unit& unit = reinterpret_cast<Unit*>(group)[s / Unit::kStrips];
    auto& strip = unit.strips[s % Unit::kStrips];
    for (int row = 0; row < kRowGroup; row += kLanes) {
      uint8_t codes[kLanes][kStripColumns];
      for (int i = 0; i < kLanes; ++i) {
        const PackedBlock block = ReadFileBlock(type, file_rows + (row + i) * row_bytes, s);
        for (int c = 0; c < kStripColumns; ++c) {
          codes[i][c] = StoredCode<typename Unit::Strip>(block.q[c]);
        }
        SetScales(block, row + i, strip);
        SetScales(block, row + i, unit);
      }
      StoreCodes(codes, row, strip);
    }
  }
}

// --- Float formats: one weight after the other, 16 rows side by side ---------------------------

template <typename Number>
void InterleaveSlowly(const uint8_t* file_rows, int64_t columns, int64_t first_column,
                      int row_count, uint8_t* group) {
  for (int row = 0; row < row_count; ++row) {
    const uint8_t* from = file_rows + row * columns * sizeof(Number);
    uint8_t* to = group + row * sizeof(Number);
    for (int64_t c = first_column; c < columns; ++c) {
      std::memcpy(to + c * kRowGroup * sizeof(Number), from + c * sizeof(Number), sizeof(Number));
    }
  }
}

// Calls tile(row, column) for every tile of a group, and gives the first column that is in none. It
// goes by cache lines of `tile_rows` rows: rows may lie a power of two apart, and a cache holds few
// such lines at a time.
template <typename Number, typename Tile>
int64_t ForEachTile(int64_t columns, int tile_rows, int tile_columns, const Tile& tile) {
  constexpr int64_t kLineColumns = 64 / sizeof(Number);
  const int64_t whole = columns / tile_columns * tile_columns;
  for (int64_t line = 0; line < whole; line += kLineColumns) {
    const int64_t end = std::min(whole, line + kLineColumns);
    for (int row = 0; row < kRowGroup; row += tile_rows) {
      for (int64_t c = line; c < end; c += tile_columns) tile(row, c);
    }
  }
  return whole;
}

void InterleaveFloats(const uint8_t* file_rows, int64_t columns, uint8_t* group) {
  const int64_t row_bytes = columns * 4;
  const auto tile = [&](int row, int64_t column) {
    Words words[kLanes];
    TransposeWords(file_rows + row * row_bytes + column * 4, row_bytes, 1, words);
    for (int i = 0; i < kLanes; ++i) {
      std::memcpy(group + ((column + i) * kRowGroup + row) * 4, &words[i], sizeof(Words));
    }
  };
  const int64_t rest = ForEachTile<float>(columns, kLanes, kLanes, tile);
  InterleaveSlowly<uint32_t>(file_rows, columns, rest, kRowGroup, group);
}

// As words first, two columns in each; then the even columns apart from the odd ones.
void InterleaveHalves(const uint8_t* file_rows, int64_t columns, uint8_t* group) {
  using Halves = uint16_t __attribute__((vector_size(16)));  // a column of eight rows
  const int64_t row_bytes = columns * 2;
  const auto tile = [&](int row, int64_t column) {
    const uint8_t* rows = file_rows + row * row_bytes + column * 2;
    Words first[kLanes], second[kLanes];
    TransposeWords(rows, row_bytes, 1, first);
    TransposeWords(rows + kLanes * row_bytes, row_bytes, 1, second);
    for (int i = 0; i < kLanes; ++i) {
      const Halves a = std::bit_cast<Halves>(first[i]), b = std::bit_cast<Halves>(second[i]);
      const Halves even = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
      const Halves odd = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
      uint8_t* to = group + ((column + 2 * i) * kRowGroup + row) * 2;
      std::memcpy(to, &even, sizeof(even));
      std::memcpy(to + 2 * kRowGroup, &odd, sizeof(odd));
    }
  };
  const int64_t rest = ForEachTile<uint16_t>(columns, 2 * kLanes, 2 * kLanes, tile);
  InterleaveSlowly<uint16_t>(file_rows, columns, rest, kRowGroup, group);
}

// Dequantized a few columns at a time, so that the floats between stay in a cache.
void DequantizeGroup(TensorType type, const uint8_t* file_rows, int64_t columns, uint8_t* group) {
  const TypeTraits& traits = TraitsOf(type);
  constexpr int64_t kColumns = 256;
  float floats[kRowGroup * kColumns];
  const int64_t row_bytes = RowBytes(type, columns);
  for (int64_t c = 0; c < columns; c += kColumns) {
    const int64_t count = std::min(kColumns, columns - c);
    const uint8_t* from = file_rows + c / traits.block_elements * traits.block_bytes;
    for (int row = 0; row < kRowGroup; ++row) {
      Dequantize(type, from + row * row_bytes, count, floats + row * count);
    }
    InterleaveFloats(reinterpret_cast<const uint8_t*>(floats), count, group + c * kRowGroup * 4);
  }
}

}  // namespace

void PackGroup(TensorType type, PackedFormat format, const uint8_t* file_rows, int64_t columns,
               uint8_t* group) {
  if (format == PackedFormat::kF32 && type != TensorType::kF32) {  // F64 too: it is rounded
    return DequantizeGroup(type, file_rows, columns, group);
  }
  CHECK(format == PackedFormatOf(type));
  switch (type) {
    case TensorType::kF32:
      return InterleaveFloats(file_rows, columns, group);
    case TensorType::kF16:
    case TensorType::kBF16:
      return InterleaveHalves(file_rows, columns, group);
    case TensorType::kQ4_0:
      return PackUnits<BlockQ4_0, UnitQ4_0>(file_rows, columns, group);
    case TensorType::kQ4_1:
      return PackUnits<BlockQ4_1, UnitQ4_1>(file_rows, columns, group);
    case TensorType::kQ5_0:
      return PackUnits<BlockQ5_0, UnitQ5_0>(file_rows, columns, group);
    case TensorType::kQ5_1:
      return PackUnits<BlockQ5_1, UnitQ5_1>(file_rows, columns, group);
    case TensorType::kQ8_0:
      return PackUnits<BlockQ8_0, UnitQ8_0>(file_rows, columns, group);
    case TensorType::kQ2_K:
      return PackUnits<BlockQ2_K, UnitQ2_K>(file_rows, columns, group);
    case TensorType::kQ3_K:
      return PackUnits<BlockQ3_K, UnitQ3_K>(file_rows, columns, group);
    case TensorType::kQ4_K:
      return PackUnits<BlockQ4_K, UnitQ4_K>(file_rows, columns, group);
    case TensorType::kQ5_K:
      return PackUnits<BlockQ5_K, UnitQ5_K>(file_rows, columns, group);
    case TensorType::kQ6_K:
      return PackUnits<BlockQ6_K, UnitQ6_K>(file_rows, columns, group);
    case TensorType::kIQ1_S:
    case TensorType::kIQ1_M:
      return PackIntegers<UnitIQ1>(type, file_rows, columns, group);
    case TensorType::kIQ2_XXS:
    case TensorType::kIQ2_XS:
    case TensorType::kIQ2_S:
      return PackIntegers<UnitIQ2>(type, file_rows, columns, group);
    case TensorType::kIQ3_XXS:
      return PackIntegers<UnitIQ3_XXS>(type, file_rows, columns, group);
    case TensorType::kIQ3_S:
      return PackIntegers<UnitIQ3_S>(type, file_rows, columns, group);
    case TensorType::kIQ4_NL:
      return PackUnits<BlockIQ4_NL, UnitIQ4_NL>(file_rows, columns, group);
    case TensorType::kIQ4_XS:
      return PackIntegers<UnitIQ4_XS>(type, file_rows, columns, group);
    case TensorType::kMXFP4:
      return PackIntegers<UnitMXFP4>(type, file_rows, columns, group);
    case TensorType::kNVFP4:
      return PackIntegers<UnitNVFP4>(type, file_rows, columns, group);
    case TensorType::kTQ1_0:
    case TensorType::kTQ2_0:
      return PackIntegers<UnitTernary>(type, file_rows, columns, group);
    case TensorType::kQ2_0:
      return PackIntegers<UnitQ2_0>(type, file_rows, columns, group);
    case TensorType::kQ1_0:
      return PackIntegers<UnitQ1_0>(type, file_rows, columns, group);
    default:  // nothing multiplies with the others
      break;
  }
  CHECK(false);
}

void PackGroupSlowly(TensorType type, PackedFormat format, const uint8_t* file_rows,
                     int64_t columns, int row_count, uint8_t* group) {
  const int64_t row_bytes = RowBytes(type, columns);
  if (format == PackedFormat::kF32) {
    std::vector<float> floats(row_count * columns);
    Dequantize(type, file_rows, floats.size(), floats.data());
    return InterleaveSlowly<uint32_t>(reinterpret_cast<const uint8_t*>(floats.data()), columns, 0,
                                      row_count, group);
  }
  if (IsFloatFormat(format)) {
    return InterleaveSlowly<uint16_t>(file_rows, columns, 0, row_count, group);
  }
  for (int row = 0; row < row_count; ++row) {
    for (int64_t strip = 0; strip < columns / kStripColumns; ++strip) {
      WritePackedBlock(format, group, strip, row,
                       ReadFileBlock(type, file_rows + row * row_bytes, strip));
    }
  }
}

}  // namespace baton
