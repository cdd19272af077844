// How rows become quads (packed_layout.h): four at a time, by words of four bytes. For pack_*.cc
// alone.
//
// A quad vector holds four bytes of each row: one 32-bit word. So packing is a transposition of
// words, rows to columns, and shifts and masks on what comes out. It goes four rows at a time: four
// words fill a register that every CPU has, so this needs no instruction set of its own.
#ifndef BATON_ENGINE_KERNELS_PACK_WORDS_H_
#define BATON_ENGINE_KERNELS_PACK_WORDS_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/kernels/packed_layout.h"

namespace baton::pack {

static_assert(std::endian::native == std::endian::little);

inline constexpr int kRowsAtOnce = 4;
// One word of each of four rows.
using Words = uint32_t __attribute__((vector_size(4 * kRowsAtOnce)));

template <typename Vector>
inline Vector LoadVector(const void* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

// words[i]: word i of each of four rows, for 4 * count words of a row.
inline void TransposeWords(const uint8_t* rows, int64_t row_bytes, int count, Words* words) {
  for (int i = 0; i < count; ++i, rows += sizeof(Words), words += kRowsAtOnce) {
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
  int row;  // of the first block in [0, kRowGroup), a multiple of kRowsAtOnce

  const Block& at(int i) const { return *reinterpret_cast<const Block*>(first + i * row_bytes); }
};

// of(block) for each of the four.
template <typename Block, typename Of>
Words ForRows(const FourBlocks<Block>& from, const Of& of) {
  return Words{of(from.at(0)), of(from.at(1)), of(from.at(2)), of(from.at(3))};
}

// A field of the four blocks, by words.
template <typename Block, size_t bytes>
struct Field {
  Words words[bytes / 4];

  Field(const FourBlocks<Block>& from, const uint8_t (Block::*field)[bytes]) {
    static_assert(bytes % 4 == 0);
    constexpr int kWhole = bytes / sizeof(Words);
    TransposeWords(from.at(0).*field, from.row_bytes, kWhole, words);
    for (size_t i = kWhole * kRowsAtOnce; i < bytes / 4; ++i) {
      words[i] = ForRows(
          from, [=](const Block& block) { return LoadVector<uint32_t>(block.*field + 4 * i); });
    }
  }
};

template <typename Byte>
void StoreQuad(Words words, int row, Byte (&quad)[kQuadBytes]) {
  std::memcpy(quad + 4 * row, &words, sizeof(words));
}

// --- Fields of a strip, from eight words with a byte per weight, its bits from `shift` on ------

inline void StoreNibbles(const Words* bytes, int shift, int row,
                         uint8_t (&nibbles)[4][kQuadBytes]) {
  for (int j = 0; j < 4; ++j) {
    const Words low = (bytes[j] >> shift) & 0x0f0f0f0f;
    const Words high = (bytes[j + 4] >> shift) & 0x0f0f0f0f;
    StoreQuad(low | high << 4, row, nibbles[j]);
  }
}

inline void StorePairs(const Words* bytes, int shift, int row, uint8_t (&pairs)[2][kQuadBytes]) {
  for (int h = 0; h < 2; ++h) {
    Words packed = {};
    for (int j = 0; j < 4; ++j) packed |= ((bytes[4 * h + j] >> shift) & 0x03030303) << (2 * j);
    StoreQuad(packed, row, pairs[h]);
  }
}

inline void StoreBits(const Words* bytes, int shift, int row, uint8_t (&bits)[kQuadBytes]) {
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

// From a word with bits 2 i and 2 i + 1 for weight i of a half: bit 8 j + 2 i becomes 8 i + 2 j. In
// the binary number of a bit's place that is an exchange of digits, two at a time.
inline void StorePairs(Words pairs, int row, uint8_t (&half)[kQuadBytes]) {
  pairs = SwapBits(pairs, 0x00cc00cc, 6);   // digits 3 and 1
  pairs = SwapBits(pairs, 0x0000f0f0, 12);  // digits 4 and 2
  StoreQuad(pairs, row, half);
}

// From a word with bit i for weight i: bit 16 h + 4 j + k becomes bit 8 k + 2 j + h, likewise.
inline void StoreBits(Words flags, int row, uint8_t (&bits)[kQuadBytes]) {
  flags = SwapBits(flags, 0x0000aaaa, 15);  // digits 4 and 0
  flags = SwapBits(flags, 0x0000cccc, 14);  // digits 4 and 1
  flags = SwapBits(flags, 0x00cc00cc, 6);   // digits 3 and 1
  flags = SwapBits(flags, 0x0c0c0c0c, 2);   // digits 2 and 1
  StoreQuad(flags, row, bits);
}

// --- Scales ----------------------------------------------------------------------------------

template <typename Block, typename Scales>  // Scales is Unit or Strip
void StoreScales(const FourBlocks<Block>& from, Scales& to) {
  for (int i = 0; i < kRowsAtOnce; ++i) {
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

// --- Groups --------------------------------------------------------------------------------------

// Calls pack(four blocks, unit) for all blocks of a group of rows, as PackGroup has them.
template <typename Block, typename Unit, typename Pack>
void ForEachFour(const uint8_t* file_rows, int64_t columns, uint8_t* group, const Pack& pack) {
  const int64_t unit_count = columns / Block::kElements;
  const int64_t row_bytes = unit_count * sizeof(Block);
  for (int64_t u = 0; u < unit_count; ++u) {
    for (int row = 0; row < kRowGroup; row += kRowsAtOnce) {
      const uint8_t* first = file_rows + row * row_bytes + u * sizeof(Block);
      pack(FourBlocks<Block>{first, row_bytes, row}, reinterpret_cast<Unit*>(group)[u]);
    }
  }
}

}  // namespace baton::pack

#endif  // BATON_ENGINE_KERNELS_PACK_WORDS_H_
