// The quant blocks as they lie on disk. Everything is an array of bytes, so a block has no padding,
// needs no alignment and means the same on every machine. Numbers of several bytes are
// little-endian; `d`, `m` and `dmin` are IEEE halves unless said otherwise.
//
// In the drawings, q[i] is the stored unsigned number of weight i of the block, w[i] the weight.
// Products and sums are single float operations, each rounded, in the order written:
// d * scale * q means (d * scale) * q.
#ifndef BATON_ENGINE_QUANT_BLOCKS_H_
#define BATON_ENGINE_QUANT_BLOCKS_H_

#include <cstdint>

namespace baton {

struct BlockF32 {
  static constexpr uint32_t kElements = 1;
  uint8_t value[4];
};

struct BlockF64 {
  static constexpr uint32_t kElements = 1;
  uint8_t value[8];
};

struct BlockF16 {
  static constexpr uint32_t kElements = 1;
  uint8_t value[2];
};

// The upper half of a float.
struct BlockBF16 {
  static constexpr uint32_t kElements = 1;
  uint8_t value[2];
};

// w = d * (q - 8)
//
//   byte    0  1 | 2             3                   17
//           d    | q[16]:q[0]    q[17]:q[1]   ...    q[31]:q[15]      high:low nibble
struct BlockQ4_0 {
  static constexpr uint32_t kElements = 32;
  uint8_t d[2];
  uint8_t qs[16];
};

// w = d * q + m
//
//   byte    0  1 | 2  3 | 4             5                   19
//           d    | m    | q[16]:q[0]    q[17]:q[1]   ...    q[31]:q[15]
struct BlockQ4_1 {
  static constexpr uint32_t kElements = 32;
  uint8_t d[2];
  uint8_t m[2];
  uint8_t qs[16];
};

// w = d * (q - 16); bit 4 of q[i] is bit i of qh, the other four are nibbles as in Q4_0.
//
//   byte    0  1 | 2 .. 5 | 6             7                   21
//           d    | qh     | q[16]:q[0]    q[17]:q[1]   ...    q[31]:q[15]
struct BlockQ5_0 {
  static constexpr uint32_t kElements = 32;
  uint8_t d[2];
  uint8_t qh[4];
  uint8_t qs[16];
};

// w = d * q + m; q as in Q5_0.
//
//   byte    0  1 | 2  3 | 4 .. 7 | 8             9                   23
//           d    | m    | qh     | q[16]:q[0]    q[17]:q[1]   ...    q[31]:q[15]
struct BlockQ5_1 {
  static constexpr uint32_t kElements = 32;
  uint8_t d[2];
  uint8_t m[2];
  uint8_t qh[4];
  uint8_t qs[16];
};

// w = d * q, q signed.
//
//   byte    0  1 | 2      3           33
//           d    | q[0]   q[1]  ...   q[31]
struct BlockQ8_0 {
  static constexpr uint32_t kElements = 32;
  uint8_t d[2];
  uint8_t qs[32];
};

// The K types: 256 weights in groups, each group with a small integer scale (and minimum) of its
// own, which the block's d (and dmin) scale in turn.
inline constexpr uint32_t kSuperBlock = 256;

// w = d * (scales[g] & 15) * q - dmin * (scales[g] >> 4), group g = i / 16.
//
//   byte    0 .. 15 | 16 .. 79 | 80 81 | 82 83
//           scales  | qs       | d     | dmin
//
// Each 32 bytes of qs hold 128 weights, two bits each: in half h, byte l has, from low bits to
// high, q[128h + l], q[128h + 32 + l], q[128h + 64 + l], q[128h + 96 + l].
struct BlockQ2_K {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t scales[16];
  uint8_t qs[64];
  uint8_t d[2];
  uint8_t dmin[2];
};

// w = d * scale[g] * (q - 4), group g = i / 16, scales signed (-32 to 31).
//
//   byte    0 .. 31 | 32 .. 95 | 96 .. 107 | 108 109
//           hmask   | qs       | scales    | d
//
// qs as in Q2_K. Bit 2 of q[32r + l] is bit r of hmask[l].
struct BlockQ3_K {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];  // see UnpackQ3KScales
  uint8_t d[2];
};

// w = d * scale[g] * q - dmin * min[g], group g = i / 32.
//
//   byte    0  1 | 2  3 | 4 .. 15 | 16 .. 143
//           d    | dmin | scales  | qs
//
// Each 32 bytes of qs hold 64 weights: in run k, byte l has q[64k + l] low, q[64k + 32 + l] high.
struct BlockQ4_K {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t d[2];
  uint8_t dmin[2];
  uint8_t scales[12];  // see UnpackQ4KScales
  uint8_t qs[128];
};

// w as in Q4_K. Bit 4 of q[32g + l] is bit g of qh[l], the other four are nibbles as in Q4_K.
//
//   byte    0  1 | 2  3 | 4 .. 15 | 16 .. 47 | 48 .. 175
//           d    | dmin | scales  | qh       | qs
struct BlockQ5_K {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t d[2];
  uint8_t dmin[2];
  uint8_t scales[12];  // see UnpackQ4KScales
  uint8_t qh[32];
  uint8_t qs[128];
};

// w = d * scales[g] * (q - 32), group g = i / 16, scales signed.
//
//   byte    0 .. 127 | 128 .. 191 | 192 .. 207 | 208 209
//           ql       | qh         | scales     | d
//
// Each half h of 128 weights has 64 bytes of ql and 32 of qh. For l in [0, 32):
//
//   weight        bits 0-3             bits 4-5
//   128h + l      ql[64h + l] low      qh[32h + l] bits 0-1
//   128h + 32+l   ql[64h + 32+l] low   qh[32h + l] bits 2-3
//   128h + 64+l   ql[64h + l] high     qh[32h + l] bits 4-5
//   128h + 96+l   ql[64h + 32+l] high  qh[32h + l] bits 6-7
struct BlockQ6_K {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t ql[128];
  uint8_t qh[64];
  uint8_t scales[16];
  uint8_t d[2];
};

// The types below keep small integers. An index or a code stands for a vector or a value of
// codebooks.h; g[i] is the integer that weight i's code stands for. A sign is a set bit for minus.

// w = d * values[q], values of kValuesIQ4; q as in Q4_0.
struct BlockIQ4_NL {
  static constexpr uint32_t kElements = 32;
  uint8_t d[2];
  uint8_t qs[16];
};

// w = d * (s[r] - 32) * values[q], run r = i / 32: each 16 bytes of qs are a run as in IQ4_NL.
// Bits 0-3 of s[r] are a nibble of scales_l, low first; bits 4-5 a pair of scales_h, low first.
struct BlockIQ4_XS {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t d[2];
  uint8_t scales_h[2];
  uint8_t scales_l[4];
  uint8_t qs[128];
};

// w = d * (2 s[r] + 1) / 8 * g, run r = i / 32. A run is eight bytes: four indices into
// kGridIQ2_XXS, then 32 bits with four times seven signs of a vector, low first, and s[r] on top.
// The eighth sign of a vector makes their number even.
struct BlockIQ2_XXS {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t d[2];
  uint8_t qs[64];
};

// w = d * (2 s[h] + 1) / 8 * g, h = i / 16: s[h] is a nibble of scales, low first. Two bytes of qs
// are a vector: nine bits of an index into kGridIQ2_XS, and seven signs as in IQ2_XXS.
struct BlockIQ2_XS {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t d[2];
  uint8_t qs[64];
  uint8_t scales[8];
};

// w as in IQ2_XS. Vector v = i / 8 has the index into kGridIQ2_S in qs[v], bits 8-9 of it in bit
// pair v % 4 of qh[v / 4], and the eight signs in signs[v].
struct BlockIQ2_S {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t d[2];
  uint8_t qs[32];
  uint8_t signs[32];
  uint8_t qh[8];
  uint8_t scales[8];
};

// w = d * (2 s[r] + 1) / 4 * g, run r = i / 32. qs has the index into kGridIQ3_XXS of each four
// weights; signs_scales, of each run, the 32 bits of signs and scale of IQ2_XXS.
struct BlockIQ3_XXS {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t d[2];
  uint8_t qs[64];
  uint8_t signs_scales[32];
};

// w = d * (2 s[r] + 1) * g, run r = i / 32: s[r] is a nibble of scales, low first. Vector v = i / 4
// has the index into kGridIQ3_S in qs[v], bit 8 of it in bit v % 8 of qh[v / 8]; eight signs a
// byte.
struct BlockIQ3_S {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t d[2];
  uint8_t qs[64];
  uint8_t qh[8];
  uint8_t signs[32];
  uint8_t scales[4];
};

// w = d * (2 s[r] + 1) * (g + shift[r]), run r = i / 32. Vector v = i / 8 has the index into
// kGridIQ1_S in qs[v]. Two bytes of qh are a run: bits 8-10 of four indices, low first, then the
// three of s[r], then the sign of the shift, which is 1/8 or -1/8.
struct BlockIQ1_S {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t d[2];
  uint8_t qs[32];
  uint8_t qh[16];
};

// w = d * (2 s[h] + 1) * (g + shift[v]), half run h = i / 16, vector v = i / 8. Nibble v of qh, low
// first, has bits 8-10 of the index and the sign of the shift. Each two bytes of scales have four
// times three bits of s, low first, and on top four bits of the half d, low first.
struct BlockIQ1_M {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t qs[32];
  uint8_t qh[16];
  uint8_t scales[8];
};

// w = d * (q - 1), q of 0, 1, 2: a byte holds the digits of a number in base 3 as a fraction of
// 256, the highest first. The digits of a byte are a run's length of weights apart: bytes 0-31 of
// qs make five runs of 32, the other 16 five runs of 16, and qh four runs of 4.
struct BlockTQ1_0 {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t qs[48];
  uint8_t qh[4];
  uint8_t d[2];
};

// w = d * (q - 1); q as in Q2_K.
struct BlockTQ2_0 {
  static constexpr uint32_t kElements = kSuperBlock;
  uint8_t qs[64];
  uint8_t d[2];
};

// w = 2^(e - 128) * values[q], values of kValuesFP4; q as in Q4_0.
struct BlockMXFP4 {
  static constexpr uint32_t kElements = 32;
  uint8_t e;
  uint8_t qs[16];
};

// w = d[h] / 2 * values[q], h = i / 16, values of kValuesFP4. d[h] is a float of four exponent bits
// (bias 7) and three mantissa bits; 0x7F is 0, the highest bit means nothing. Each eight bytes of
// qs are a group of 16: their low nibbles, then their high ones.
struct BlockNVFP4 {
  static constexpr uint32_t kElements = 64;
  uint8_t d[4];
  uint8_t qs[32];
};

// w = d where bit i of qs is set, else -d.
struct BlockQ1_0 {
  static constexpr uint32_t kElements = 128;
  uint8_t d[2];
  uint8_t qs[16];
};

// w = d * (q - 1); each byte of qs has four q, low first.
struct BlockQ2_0 {
  static constexpr uint32_t kElements = 64;
  uint8_t d[2];
  uint8_t qs[16];
};

// Any other size would mean padding.
static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22 &&
              sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34);
static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110 && sizeof(BlockQ4_K) == 144 &&
              sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);
static_assert(sizeof(BlockIQ2_XXS) == 66 && sizeof(BlockIQ2_XS) == 74 && sizeof(BlockIQ2_S) == 82 &&
              sizeof(BlockIQ3_XXS) == 98 && sizeof(BlockIQ3_S) == 110);
static_assert(sizeof(BlockIQ1_S) == 50 && sizeof(BlockIQ1_M) == 56 && sizeof(BlockIQ4_NL) == 18 &&
              sizeof(BlockIQ4_XS) == 136);
static_assert(sizeof(BlockTQ1_0) == 54 && sizeof(BlockTQ2_0) == 66 && sizeof(BlockMXFP4) == 17 &&
              sizeof(BlockNVFP4) == 36 && sizeof(BlockQ1_0) == 18 && sizeof(BlockQ2_0) == 18);

// Sixteen scales of six bits. Low nibbles of bytes 0-7 are bits 0-3 of scales 0-7, high nibbles
// those of scales 8-15; bit pair p of byte 8 + i is bits 4-5 of scale 4p + i. Stored plus 32.
void UnpackQ3KScales(const uint8_t packed[12], int8_t scales[16]);

// Eight scales and eight minimums of six bits. Scales 0-3 are the low six bits of bytes 0-3,
// minimums 0-3 those of bytes 4-7. Scale and minimum 4 + i have their bits 0-3 in the low and high
// nibble of byte 8 + i, and their bits 4-5 in the top two bits of bytes i and 4 + i.
void UnpackQ4KScales(const uint8_t packed[12], uint8_t scales[8], uint8_t mins[8]);
void PackQ4KScales(const uint8_t scales[8], const uint8_t mins[8], uint8_t packed[12]);

// The bits of the half d of IQ1_M, and the inverse, which leaves the other bits as they are.
uint16_t UnpackIQ1MScale(const uint8_t scales[8]);
void PackIQ1MScale(uint16_t d, uint8_t scales[8]);

// The d of MXFP4, as the bits of a bfloat16.
uint16_t UnpackMXFP4Scale(uint8_t e);

// The d of NVFP4 halved, as the bits of a half.
uint16_t UnpackNVFP4Scale(uint8_t d);

}  // namespace baton

#endif  // BATON_ENGINE_QUANT_BLOCKS_H_
