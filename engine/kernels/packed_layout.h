// The bytes of a packed matrix: kRowGroup = 16 rows interleaved, in strips of 32 columns.
//
// Four neighbouring columns of a row are the four bytes that one 32-bit lane of a dot-product
// instruction takes; a *quad* vector of 64 bytes holds them for all 16 rows: byte 4 r + i is row r,
// column 4 j + i of the strip. A strip has 8 quads: j = 0..3 are its low half (columns 0..15),
// j = 4..7 its high half. Fields narrower than a byte share it so that one shift and one mask
// give a whole quad:
//
//   nibbles[j], j = 0..3   low nibble: quad j; high nibble: quad j + 4
//   bits                   bit 2 j: of quad j; bit 2 j + 1: of quad j + 4           (j = 0..3)
//   pairs[h]               bits 2 j and 2 j + 1: of quad j + 4 h                     (j = 0..3)
//
// The types of 256-element blocks keep their fields d and dmin once per 8 strips, and their
// sub-scales unpacked to a byte each: at most 4% more bytes than the file has.
#ifndef BATON_ENGINE_KERNELS_PACKED_LAYOUT_H_
#define BATON_ENGINE_KERNELS_PACKED_LAYOUT_H_

#include <cstdint>

#include "engine/kernels/kernels.h"

namespace baton {

inline constexpr int kStripColumns = 32;
inline constexpr int kQuadBytes = 4 * kRowGroup;
inline constexpr int kSuperStrips = 8;  // strips of a 256-element block

struct StripQ4_0 {
  uint8_t nibbles[4][kQuadBytes];
  uint16_t d[kRowGroup];
};
struct StripQ4_1 {
  uint8_t nibbles[4][kQuadBytes];
  uint16_t d[kRowGroup];
  uint16_t m[kRowGroup];
};
struct StripQ5_0 {
  uint8_t nibbles[4][kQuadBytes];
  uint8_t bits[kQuadBytes];
  uint16_t d[kRowGroup];
};
struct StripQ5_1 {
  uint8_t nibbles[4][kQuadBytes];
  uint8_t bits[kQuadBytes];
  uint16_t d[kRowGroup];
  uint16_t m[kRowGroup];
};
struct StripQ8_0 {
  int8_t quads[8][kQuadBytes];
  uint16_t d[kRowGroup];
};

struct StripQ2_K {
  uint8_t pairs[2][kQuadBytes];
  uint8_t sub[2][kRowGroup];  // per half of 16 columns: scale in the low nibble, min in the high
};
struct StripQ3_K {
  uint8_t pairs[2][kQuadBytes];
  uint8_t bits[kQuadBytes];
  int8_t sub[2][kRowGroup];  // scale - 32, per half
};
struct StripQ4_K {
  uint8_t nibbles[4][kQuadBytes];
  uint8_t sub_scale[kRowGroup];
  uint8_t sub_min[kRowGroup];
};
struct StripQ5_K {
  uint8_t nibbles[4][kQuadBytes];
  uint8_t bits[kQuadBytes];
  uint8_t sub_scale[kRowGroup];
  uint8_t sub_min[kRowGroup];
};
struct StripQ6_K {
  uint8_t nibbles[4][kQuadBytes];
  uint8_t pairs[2][kQuadBytes];  // bits 4 and 5
  int8_t sub[2][kRowGroup];      // scale, per half
};

template <typename Strip>
struct SuperBlock {  // Q3_K, Q6_K
  uint16_t d[kRowGroup];
  Strip strips[kSuperStrips];
};
template <typename Strip>
struct SuperBlockMin {  // Q2_K, Q4_K, Q5_K
  uint16_t d[kRowGroup];
  uint16_t dmin[kRowGroup];
  Strip strips[kSuperStrips];
};

static_assert(sizeof(StripQ4_0) == kRowGroup * 18 && sizeof(StripQ4_1) == kRowGroup * 20);
static_assert(sizeof(StripQ5_0) == kRowGroup * 22 && sizeof(StripQ5_1) == kRowGroup * 24);
static_assert(sizeof(StripQ8_0) == kRowGroup * 34);
static_assert(sizeof(SuperBlockMin<StripQ2_K>) == kRowGroup * 84);
static_assert(sizeof(SuperBlock<StripQ3_K>) == kRowGroup * 114);
static_assert(sizeof(SuperBlockMin<StripQ4_K>) == kRowGroup * 148);
static_assert(sizeof(SuperBlockMin<StripQ5_K>) == kRowGroup * 180);
static_assert(sizeof(SuperBlock<StripQ6_K>) == kRowGroup * 210);

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_PACKED_LAYOUT_H_
