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
// A weight's stored bits are, from the lowest: its nibble, its pair, its bit; of those its strip
// has.
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

// kBits: of a stored weight. kOffset: what is added to a weight to store it unsigned.
struct StripQ4_0 {
  static constexpr int kBits = 4, kOffset = 8;
  uint8_t nibbles[4][kQuadBytes];
  uint16_t d[kRowGroup];
};
struct StripQ4_1 {
  static constexpr int kBits = 4, kOffset = 0;
  uint8_t nibbles[4][kQuadBytes];
  uint16_t d[kRowGroup];
  uint16_t m[kRowGroup];
};
struct StripQ5_0 {
  static constexpr int kBits = 5, kOffset = 16;
  uint8_t nibbles[4][kQuadBytes];
  uint8_t bits[kQuadBytes];
  uint16_t d[kRowGroup];
};
struct StripQ5_1 {
  static constexpr int kBits = 5, kOffset = 0;
  uint8_t nibbles[4][kQuadBytes];
  uint8_t bits[kQuadBytes];
  uint16_t d[kRowGroup];
  uint16_t m[kRowGroup];
};
struct StripQ8_0 {
  static constexpr int kBits = 8, kOffset = 0;  // stored signed
  int8_t quads[8][kQuadBytes];
  uint16_t d[kRowGroup];
};
struct StripQ2_K {
  static constexpr int kBits = 2, kOffset = 0;
  uint8_t pairs[2][kQuadBytes];
  uint8_t sub[2][kRowGroup];  // per half of 16 columns: scale in the low nibble, min in the high
};
struct StripQ3_K {
  static constexpr int kBits = 3, kOffset = 4;
  uint8_t pairs[2][kQuadBytes];
  uint8_t bits[kQuadBytes];
  int8_t sub[2][kRowGroup];  // scale, per half
};
struct StripQ4_K {
  static constexpr int kBits = 4, kOffset = 0;
  uint8_t nibbles[4][kQuadBytes];
  uint8_t sub_scale[kRowGroup];
  uint8_t sub_min[kRowGroup];
};
struct StripQ5_K {
  static constexpr int kBits = 5, kOffset = 0;
  uint8_t nibbles[4][kQuadBytes];
  uint8_t bits[kQuadBytes];
  uint8_t sub_scale[kRowGroup];
  uint8_t sub_min[kRowGroup];
};
struct StripQ6_K {
  static constexpr int kBits = 6, kOffset = 32;
  uint8_t nibbles[4][kQuadBytes];
  uint8_t pairs[2][kQuadBytes];
  int8_t sub[2][kRowGroup];  // scale, per half
};

// What repeats in a packed group: a strip alone, or eight behind what they share.
template <typename StripType>
struct PlainUnit {
  using Strip = StripType;
  static constexpr int kStrips = 1;
  Strip strips[kStrips];
};
template <typename StripType>
struct SuperUnit {
  using Strip = StripType;
  static constexpr int kStrips = kSuperStrips;
  uint16_t d[kRowGroup];
  Strip strips[kStrips];
};
template <typename StripType>
struct SuperMinUnit {
  using Strip = StripType;
  static constexpr int kStrips = kSuperStrips;
  uint16_t d[kRowGroup];
  uint16_t dmin[kRowGroup];
  Strip strips[kStrips];
};

using UnitQ4_0 = PlainUnit<StripQ4_0>;
using UnitQ4_1 = PlainUnit<StripQ4_1>;
using UnitQ5_0 = PlainUnit<StripQ5_0>;
using UnitQ5_1 = PlainUnit<StripQ5_1>;
using UnitQ8_0 = PlainUnit<StripQ8_0>;
using UnitQ2_K = SuperMinUnit<StripQ2_K>;
using UnitQ3_K = SuperUnit<StripQ3_K>;
using UnitQ4_K = SuperMinUnit<StripQ4_K>;
using UnitQ5_K = SuperMinUnit<StripQ5_K>;
using UnitQ6_K = SuperUnit<StripQ6_K>;

static_assert(sizeof(UnitQ4_0) == kRowGroup * 18 && sizeof(UnitQ4_1) == kRowGroup * 20);
static_assert(sizeof(UnitQ5_0) == kRowGroup * 22 && sizeof(UnitQ5_1) == kRowGroup * 24);
static_assert(sizeof(UnitQ8_0) == kRowGroup * 34);
static_assert(sizeof(UnitQ2_K) == kRowGroup * 84 && sizeof(UnitQ3_K) == kRowGroup * 114);
static_assert(sizeof(UnitQ4_K) == kRowGroup * 148 && sizeof(UnitQ5_K) == kRowGroup * 180);
static_assert(sizeof(UnitQ6_K) == kRowGroup * 210);

// How the integer dot product of a strip becomes floats (numeric_contract.md).
enum class Rule {
  kScale,     // d * dot
  kScaleMin,  // d * dot + m * sum of activations
  kSub,       // d * (scale0 * dot0 + scale1 * dot1), halves of 16 columns
  kSubMin,    // the same, and - dmin * (min0 * sum0 + min1 * sum1)
};
// The fields that a unit has say which rule is its own.
template <typename Unit>
constexpr Rule RuleOf() {
  using Strip = typename Unit::Strip;
  constexpr bool kHasMin = requires(Unit u) { u.dmin; }
  || requires(Strip s) { s.m; };
  if constexpr (requires(Strip s) { s.sub; }) return kHasMin ? Rule::kSubMin : Rule::kSub;
  return kHasMin ? Rule::kScaleMin : Rule::kScale;
}

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_PACKED_LAYOUT_H_
