#include "engine/kernels/pack_group.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "engine/base/check.h"
#include "engine/kernels/pack_integers.h"
#include "engine/kernels/pack_words.h"
#include "engine/kernels/packed_block.h"
#include "engine/kernels/packed_layout.h"
#include "engine/quant/blocks.h"
#include "engine/quant/dequantize.h"

namespace baton {
namespace {

using pack::Bytes;
using pack::Field;
using pack::FourBlocks;
using pack::kRowsAtOnce;
using pack::StoreBits;
using pack::StoreHalfScales;
using pack::StoreNibbles;
using pack::StorePairs;
using pack::StoreQuad;
using pack::StoreScales;
using pack::StoreSubScales;
using pack::Words;

// --- Scales ----------------------------------------------------------------------------------

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
  pack::ForEachFour<Block, Unit>(
      file_rows, columns, group,
      [](const FourBlocks<Block>& from, Unit& unit) { PackFour(from, unit); });
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
    Words words[kRowsAtOnce];
    pack::TransposeWords(file_rows + row * row_bytes + column * 4, row_bytes, 1, words);
    for (int i = 0; i < kRowsAtOnce; ++i) {
      std::memcpy(group + ((column + i) * kRowGroup + row) * 4, &words[i], sizeof(Words));
    }
  };
  const int64_t rest = ForEachTile<float>(columns, kRowsAtOnce, kRowsAtOnce, tile);
  InterleaveSlowly<uint32_t>(file_rows, columns, rest, kRowGroup, group);
}

// As words first, two columns in each; then the even columns apart from the odd ones.
void InterleaveHalves(const uint8_t* file_rows, int64_t columns, uint8_t* group) {
  using Halves = uint16_t __attribute__((vector_size(16)));  // a column of eight rows
  const int64_t row_bytes = columns * 2;
  const auto tile = [&](int row, int64_t column) {
    const uint8_t* rows = file_rows + row * row_bytes + column * 2;
    Words first[kRowsAtOnce], second[kRowsAtOnce];
    pack::TransposeWords(rows, row_bytes, 1, first);
    pack::TransposeWords(rows + kRowsAtOnce * row_bytes, row_bytes, 1, second);
    for (int i = 0; i < kRowsAtOnce; ++i) {
      const Halves a = std::bit_cast<Halves>(first[i]), b = std::bit_cast<Halves>(second[i]);
      const Halves even = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
      const Halves odd = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
      uint8_t* to = group + ((column + 2 * i) * kRowGroup + row) * 2;
      std::memcpy(to, &even, sizeof(even));
      std::memcpy(to + 2 * kRowGroup, &odd, sizeof(odd));
    }
  };
  const int64_t rest = ForEachTile<uint16_t>(columns, 2 * kRowsAtOnce, 2 * kRowsAtOnce, tile);
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
    default:
      return PackIntegers(type, file_rows, columns, group);
  }
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
