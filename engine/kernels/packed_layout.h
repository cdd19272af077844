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
// has. Where a strip has kValues they are a code: an index into that table, which a byte shuffle
// looks up.
//
// Types whose blocks are longer than a strip keep their fields d and dmin once per several strips,
// and their sub-scales unpacked to a byte each: at most 4% more bytes than the file has. The grids
// of IQ1 to IQ3 are undone, though, and leave a code per weight: 3.56 bits a weight for IQ1 and
// IQ2, 4.31 for IQ3. TQ1_0 takes 2.06.
#ifndef BATON_ENGINE_KERNELS_PACKED_LAYOUT_H_
#define BATON_ENGINE_KERNELS_PACKED_LAYOUT_H_

#include <cstdint>

#include "engine/kernels/kernels.h"
#include "engine/quant/codebooks.h"

namespace baton {

inline constexpr int kStripColumns = 32;
inline constexpr int kQuadBytes = 4 * kRowGroup;
inline constexpr int kSuperStrips = 8;  // strips of a 256-element block

// The upper half of a float.
struct BFloat16 {
  uint16_t bits;
};

// kBits: of a weight as it is multiplied; those of 8 are signed. kOffset: what is added to a weight
// to store it unsigned. kScaleUnit: what d is multiplied with.
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

struct StripIQ1 {
  static constexpr int kBits = 8, kOffset = 0;
  static constexpr const int8_t (&kValues)[16] = kValuesIQ1;
  static constexpr float kScaleUnit = 0.125f;
  uint8_t pairs[2][kQuadBytes];
  uint8_t bits[kQuadBytes];
  int8_t sub[2][kRowGroup];
};
struct StripIQ2 {
  static constexpr int kBits = 8, kOffset = 0;
  static constexpr const int8_t (&kValues)[16] = kValuesIQ2;
  static constexpr float kScaleUnit = 0.125f;
  uint8_t pairs[2][kQuadBytes];
  uint8_t bits[kQuadBytes];
  int8_t sub[2][kRowGroup];
};
struct StripIQ3_XXS {
  static constexpr int kBits = 8, kOffset = 0;
  static constexpr const int8_t (&kValues)[16] = kValuesIQ3_XXS;
  static constexpr float kScaleUnit = 0.25f;
  uint8_t nibbles[4][kQuadBytes];
  int8_t scale[kRowGroup];
};
struct StripIQ3_S {
  static constexpr int kBits = 8, kOffset = 0;
  static constexpr const int8_t (&kValues)[16] = kValuesIQ3_S;
  uint8_t nibbles[4][kQuadBytes];
  int8_t scale[kRowGroup];
};
struct StripIQ4_NL {
  static constexpr int kBits = 8, kOffset = 0;
  static constexpr const int8_t (&kValues)[16] = kValuesIQ4;
  uint8_t nibbles[4][kQuadBytes];
  uint16_t d[kRowGroup];
};
struct StripIQ4_XS {
  static constexpr int kBits = 8, kOffset = 0;
  static constexpr const int8_t (&kValues)[16] = kValuesIQ4;
  uint8_t nibbles[4][kQuadBytes];
  int8_t scale[kRowGroup];
};
struct StripMXFP4 {
  static constexpr int kBits = 8, kOffset = 0;
  static constexpr const int8_t (&kValues)[16] = kValuesFP4;
  uint8_t nibbles[4][kQuadBytes];
  BFloat16 d[kRowGroup];
};
struct StripNVFP4 {
  static constexpr int kBits = 8, kOffset = 0;
  static constexpr const int8_t (&kValues)[16] = kValuesFP4;
  uint8_t nibbles[4][kQuadBytes];
  uint16_t half_d[2][kRowGroup];  // per half
};
struct StripTernary {
  static constexpr int kBits = 2, kOffset = 1;
  uint8_t pairs[2][kQuadBytes];
};
struct StripQ1_0 {
  static constexpr int kBits = 8, kOffset = 0;
  static constexpr const int8_t (&kValues)[16] = kValuesQ1_0;
  uint8_t bits[kQuadBytes];
};

// What repeats in a packed group: a strip alone, or several behind what they share.
template <typename StripType>
struct PlainUnit {
  using Strip = StripType;
  static constexpr int kStrips = 1;
  Strip strips[kStrips];
};
template <typename StripType, int kCount = kSuperStrips>
struct SuperUnit {
  using Strip = StripType;
  static constexpr int kStrips = kCount;
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
using UnitIQ1 = SuperUnit<StripIQ1>;
using UnitIQ2 = SuperUnit<StripIQ2>;
using UnitIQ3_XXS = SuperUnit<StripIQ3_XXS>;
using UnitIQ3_S = SuperUnit<StripIQ3_S>;
using UnitIQ4_NL = PlainUnit<StripIQ4_NL>;
using UnitIQ4_XS = SuperUnit<StripIQ4_XS>;
using UnitMXFP4 = PlainUnit<StripMXFP4>;
using UnitNVFP4 = PlainUnit<StripNVFP4>;
using UnitTernary = SuperUnit<StripTernary>;
using UnitQ2_0 = SuperUnit<StripTernary, 2>;
using UnitQ1_0 = SuperUnit<StripQ1_0, 4>;

// The units of the quantized formats, in the order of PackedFormat.
template <typename... Units>
struct UnitList {
  static constexpr int kCount = sizeof...(Units);
};
using QuantUnits =
    UnitList<UnitQ4_0, UnitQ4_1, UnitQ5_0, UnitQ5_1, UnitQ8_0, UnitQ2_K, UnitQ3_K, UnitQ4_K,
             UnitQ5_K, UnitQ6_K, UnitIQ1, UnitIQ2, UnitIQ3_XXS, UnitIQ3_S, UnitIQ4_NL, UnitIQ4_XS,
             UnitMXFP4, UnitNVFP4, UnitTernary, UnitQ2_0, UnitQ1_0>;
inline constexpr int kFloatFormatCount = 3;
static_assert(kFloatFormatCount + QuantUnits::kCount == kPackedFormatCount);

static_assert(sizeof(UnitQ4_0) == kRowGroup * 18 && sizeof(UnitQ4_1) == kRowGroup * 20);
static_assert(sizeof(UnitQ5_0) == kRowGroup * 22 && sizeof(UnitQ5_1) == kRowGroup * 24);
static_assert(sizeof(UnitQ8_0) == kRowGroup * 34);
static_assert(sizeof(UnitQ2_K) == kRowGroup * 84 && sizeof(UnitQ3_K) == kRowGroup * 114);
static_assert(sizeof(UnitQ4_K) == kRowGroup * 148 && sizeof(UnitQ5_K) == kRowGroup * 180);
static_assert(sizeof(UnitQ6_K) == kRowGroup * 210);
static_assert(sizeof(UnitIQ1) == kRowGroup * 114 && sizeof(UnitIQ2) == kRowGroup * 114);
static_assert(sizeof(UnitIQ3_XXS) == kRowGroup * 138 && sizeof(UnitIQ3_S) == kRowGroup * 138);
static_assert(sizeof(UnitIQ4_NL) == kRowGroup * 18 && sizeof(UnitIQ4_XS) == kRowGroup * 138);
static_assert(sizeof(UnitMXFP4) == kRowGroup * 18 && sizeof(UnitNVFP4) == kRowGroup * 20);
static_assert(sizeof(UnitTernary) == kRowGroup * 66 && sizeof(UnitQ2_0) == kRowGroup * 18);
static_assert(sizeof(UnitQ1_0) == kRowGroup * 18);

// How the integer dot product of a strip becomes floats (numeric_contract.md).
enum class Rule {
  kScale,     // d * dot
  kScaleMin,  // d * dot + m * sum of activations
  kSub,       // d * (scale0 * dot0 + scale1 * dot1), halves of 16 columns
  kSubMin,    // the same, and - dmin * (min0 * sum0 + min1 * sum1)
  kHalves,    // d0 * dot0, then d1 * dot1: halves of 16 columns
};
// The fields that a unit has say which rule is its own.
template <typename Unit>
constexpr Rule RuleOf() {
  using Strip = typename Unit::Strip;
  constexpr bool kHasMin = requires(Unit u) { u.dmin; }
  || requires(Strip s) { s.m; };
  if constexpr (requires(Strip s) { s.half_d; }) return Rule::kHalves;
  if constexpr (requires(Strip s) { s.sub; }) return kHasMin ? Rule::kSubMin : Rule::kSub;
  return kHasMin ? Rule::kScaleMin : Rule::kScale;
}

// Whether the halves of a strip are multiplied apart.
template <typename Unit>
constexpr bool HasHalves() {
  return RuleOf<Unit>() != Rule::kScale && RuleOf<Unit>() != Rule::kScaleMin;
}

// The largest magnitude of a weight as it is multiplied, the offset included.
template <typename Strip>
constexpr int MaxMagnitude() {
  if constexpr (requires { Strip::kValues; }) {
    int max = 0;
    for (const int value : Strip::kValues) max = value > max ? value : -value > max ? -value : max;
    return max;
  }
  return Strip::kBits == 8 ? 128 : (1 << Strip::kBits) - 1;
}

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_PACKED_LAYOUT_H_
