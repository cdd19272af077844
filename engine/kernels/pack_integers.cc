#include "engine/kernels/pack_integers.h"

#include <bit>

#include "engine/base/check.h"
#include "engine/kernels/pack_words.h"
#include "engine/kernels/packed_layout.h"
#include "engine/quant/blocks.h"
#include "engine/quant/codebooks.h"

namespace baton {
namespace {

using pack::Field;
using pack::FourBlocks;
using pack::kRowsAtOnce;
using pack::StoreBits;
using pack::StoreHalfScales;
using pack::StorePairs;
using pack::StoreQuad;
using pack::StoreScales;
using pack::Words;

// Codes are stored as they are in the file, a grid's with the sign above them: what they stand for
// need not be looked up.

// Byte i of the result, i < 4: kBits bits from bit kBits * i on.
template <int kBits>
Words Spread(Words x) {
  constexpr uint32_t kTwo = (1u << 2 * kBits) - 1, kOne = 0x00010001 * ((1u << kBits) - 1);
  x = (x & kTwo) | ((x << 2 * (8 - kBits)) & kTwo << 16);
  return (x & kOne) | ((x << (8 - kBits)) & kOne << 8);
}

// Byte v of the words, and 16 bits h of them.
Words ByteOf(Words x, int v) { return (x >> 8 * v) & 0xff; }
Words HalfOf(const Words* x, int h) { return (x[h / 2] >> h % 2 * 16) & 0xffff; }

template <int kSize>
Words Look(const uint16_t (&grid)[kSize], Words index) {
  return Words{grid[index[0]], grid[index[1]], grid[index[2]], grid[index[3]]};
}

// --- Signs -----------------------------------------------------------------------------------

// The eighth sign of each byte makes the number of minuses even.
Words EvenSigns(Words sevens) {
  Words parity = sevens ^ sevens >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return sevens | (parity & 0x01010101) << 7;
}

// Bytes of 1 become bytes of ones.
Words FillBytes(Words ones) { return (ones << 8) - ones; }

// --- Scales, by bytes ------------------------------------------------------------------------

// What most types mean by a stored scale.
Words OddScales(Words stored) { return stored << 1 | 0x01010101; }

// Scales of four strips, from the first on.
template <typename Unit>
void StoreStripScales(Words scales, int first, int row, Unit& unit) {
  pack::StoreSubScales(scales, [&](int i) { return &unit.strips[first + i].scale[row]; });
}

// One scale for both halves of a strip, two strips of a quarter of a unit: in bytes 0 and 2.
template <typename Unit>
void StoreScalesOfTwo(Words scales, int quarter, int row, Unit& unit) {
  StoreHalfScales(OddScales(scales | scales << 8), quarter, row, unit);
}

template <typename Block>  // IQ2_XS, IQ2_S: nibbles
void StoreNibbleScales(const FourBlocks<Block>& from, UnitIQ2& unit) {
  const Field scales(from, &Block::scales);
  for (int q = 0; q < 4; ++q) {
    StoreHalfScales(OddScales(Spread<4>(HalfOf(scales.words, q))), q, from.row, unit);
  }
}

// --- IQ1 and IQ2: four vectors of eight codes of two bits, and a bit above each ----------------

template <typename Strip>
void StoreVectors(const Words (&vectors)[4], Words high, int row, Strip& strip) {
  for (int h = 0; h < 2; ++h) {
    StorePairs(vectors[2 * h] | vectors[2 * h + 1] << 16, row, strip.pairs[h]);
  }
  StoreBits(high, row, strip.bits);
}

void PackFour(const FourBlocks<BlockIQ1_S>& from, UnitIQ1& unit) {
  const Field qs(from, &BlockIQ1_S::qs);
  const Field qh(from, &BlockIQ1_S::qh);
  for (int s = 0; s < kSuperStrips; ++s) {
    const Words high = HalfOf(qh.words, s);
    Words vectors[4];
    for (int v = 0; v < 4; ++v) {
      vectors[v] = Look(kGridIQ1_S, ByteOf(qs.words[s], v) | ((high >> 3 * v) & 7) << 8);
    }
    StoreVectors(vectors, -(high >> 15), from.row, unit.strips[s]);
  }
  for (int q = 0; q < 4; ++q) {
    StoreScalesOfTwo((qh.words[q] >> 12) & 0x00070007, q, from.row, unit);
  }
  StoreScales(from, unit);
}

void PackFour(const FourBlocks<BlockIQ1_M>& from, UnitIQ1& unit) {
  const Field qs(from, &BlockIQ1_M::qs);
  const Field qh(from, &BlockIQ1_M::qh);
  const Field scales(from, &BlockIQ1_M::scales);
  for (int s = 0; s < kSuperStrips; ++s) {
    const Words high = Spread<4>(HalfOf(qh.words, s));
    Words vectors[4];
    for (int v = 0; v < 4; ++v) {
      vectors[v] = Look(kGridIQ1_S, ByteOf(qs.words[s], v) | (ByteOf(high, v) & 7) << 8);
    }
    StoreVectors(vectors, FillBytes((high >> 3) & 0x01010101), from.row, unit.strips[s]);
  }
  for (int q = 0; q < 4; ++q) {
    StoreHalfScales(OddScales(Spread<3>(HalfOf(scales.words, q))), q, from.row, unit);
  }
  for (int i = 0; i < kRowsAtOnce; ++i) unit.d[from.row + i] = UnpackIQ1MScale(from.at(i).scales);
}

void PackFour(const FourBlocks<BlockIQ2_XXS>& from, UnitIQ2& unit) {
  const Field qs(from, &BlockIQ2_XXS::qs);
  for (int s = 0; s < kSuperStrips; ++s) {
    Words vectors[4];
    for (int v = 0; v < 4; ++v) vectors[v] = Look(kGridIQ2_XXS, ByteOf(qs.words[2 * s], v));
    const Words signs = EvenSigns(Spread<7>(qs.words[2 * s + 1]));
    StoreVectors(vectors, signs, from.row, unit.strips[s]);
  }
  for (int q = 0; q < 4; ++q) {
    const Words scales = qs.words[4 * q + 1] >> 28 | qs.words[4 * q + 3] >> 28 << 16;
    StoreScalesOfTwo(scales, q, from.row, unit);
  }
  StoreScales(from, unit);
}

void PackFour(const FourBlocks<BlockIQ2_XS>& from, UnitIQ2& unit) {
  const Field qs(from, &BlockIQ2_XS::qs);
  for (int s = 0; s < kSuperStrips; ++s) {
    Words vectors[4], sevens = {};
    for (int v = 0; v < 4; ++v) {
      const Words bits = HalfOf(qs.words, 4 * s + v);
      vectors[v] = Look(kGridIQ2_XS, bits & 511);
      sevens |= bits >> 9 << 8 * v;
    }
    StoreVectors(vectors, EvenSigns(sevens), from.row, unit.strips[s]);
  }
  StoreNibbleScales(from, unit);
  StoreScales(from, unit);
}

void PackFour(const FourBlocks<BlockIQ2_S>& from, UnitIQ2& unit) {
  const Field qs(from, &BlockIQ2_S::qs);
  const Field qh(from, &BlockIQ2_S::qh);
  const Field signs(from, &BlockIQ2_S::signs);
  for (int s = 0; s < kSuperStrips; ++s) {
    const Words high = Spread<2>(ByteOf(qh.words[s / 4], s % 4));
    Words vectors[4];
    for (int v = 0; v < 4; ++v) {
      vectors[v] = Look(kGridIQ2_S, ByteOf(qs.words[s], v) | ByteOf(high, v) << 8);
    }
    StoreVectors(vectors, signs.words[s], from.row, unit.strips[s]);
  }
  StoreNibbleScales(from, unit);
  StoreScales(from, unit);
}

// --- IQ3: eight vectors of four codes of three bits, and a bit above each ----------------------

template <typename Strip>
void StoreVectors(const Words (&vectors)[8], Words high, int row, Strip& strip) {
  const auto quad = [&](int v) { return Spread<3>(vectors[v]) | Spread<1>(high >> 4 * v) << 3; };
  for (int j = 0; j < 4; ++j) StoreQuad(quad(j) | quad(4 + j) << 4, row, strip.nibbles[j]);
}

void PackFour(const FourBlocks<BlockIQ3_XXS>& from, UnitIQ3_XXS& unit) {
  const Field qs(from, &BlockIQ3_XXS::qs);
  const Field rest(from, &BlockIQ3_XXS::signs_scales);
  Words scales[2] = {};  // of four strips each
  for (int s = 0; s < kSuperStrips; ++s) {
    Words vectors[8];
    for (int v = 0; v < 8; ++v) {
      vectors[v] = Look(kGridIQ3_XXS, ByteOf(qs.words[2 * s + v / 4], v % 4));
    }
    StoreVectors(vectors, EvenSigns(Spread<7>(rest.words[s])), from.row, unit.strips[s]);
    scales[s / 4] |= rest.words[s] >> 28 << s % 4 * 8;
  }
  for (int i = 0; i < 2; ++i) StoreStripScales(OddScales(scales[i]), 4 * i, from.row, unit);
  StoreScales(from, unit);
}

void PackFour(const FourBlocks<BlockIQ3_S>& from, UnitIQ3_S& unit) {
  const Field qs(from, &BlockIQ3_S::qs);
  const Field qh(from, &BlockIQ3_S::qh);
  const Field signs(from, &BlockIQ3_S::signs);
  const Field scales(from, &BlockIQ3_S::scales);
  for (int s = 0; s < kSuperStrips; ++s) {
    const Words high = ByteOf(qh.words[s / 4], s % 4);
    Words vectors[8];
    for (int v = 0; v < 8; ++v) {
      const Words low = ByteOf(qs.words[2 * s + v / 4], v % 4);
      vectors[v] = Look(kGridIQ3_S, low | ((high >> v) & 1) << 8);
    }
    StoreVectors(vectors, signs.words[s], from.row, unit.strips[s]);
  }
  for (int i = 0; i < 2; ++i) {
    StoreStripScales(OddScales(Spread<4>(HalfOf(scales.words, i))), 4 * i, from.row, unit);
  }
  StoreScales(from, unit);
}

// --- IQ4 and FP4: nibbles ----------------------------------------------------------------------

void PackFour(const FourBlocks<BlockIQ4_NL>& from, UnitIQ4_NL& unit) {
  const Field qs(from, &BlockIQ4_NL::qs);
  for (int j = 0; j < 4; ++j) StoreQuad(qs.words[j], from.row, unit.strips[0].nibbles[j]);
  StoreScales(from, unit.strips[0]);
}

void PackFour(const FourBlocks<BlockIQ4_XS>& from, UnitIQ4_XS& unit) {
  const Field qs(from, &BlockIQ4_XS::qs);
  const Field low(from, &BlockIQ4_XS::scales_l);
  const Words high = pack::ForRows(from, [](const BlockIQ4_XS& block) {
    return static_cast<uint32_t>(block.scales_h[0] | block.scales_h[1] << 8);
  });
  for (int s = 0; s < kSuperStrips; ++s) {
    for (int j = 0; j < 4; ++j) {
      StoreQuad(qs.words[4 * s + j], from.row, unit.strips[s].nibbles[j]);
    }
  }
  for (int i = 0; i < 2; ++i) {
    const Words stored = Spread<4>(HalfOf(low.words, i)) | Spread<2>(ByteOf(high, i)) << 4;
    const auto scales = std::bit_cast<pack::Bytes>(stored) - 32;
    StoreStripScales(std::bit_cast<Words>(scales), 4 * i, from.row, unit);
  }
  StoreScales(from, unit);
}

// Code 8 is -0, and an integer has one zero: code 0.
Words WithoutMinusZero(Words nibbles) {
  const Words magnitudes = nibbles & 0x77777777;
  const Words nonzero = (magnitudes | magnitudes >> 1 | magnitudes >> 2) & 0x11111111;
  return nibbles & (nonzero << 3 | 0x77777777);
}

void PackFour(const FourBlocks<BlockMXFP4>& from, UnitMXFP4& unit) {
  StripMXFP4& strip = unit.strips[0];
  const Field qs(from, &BlockMXFP4::qs);
  for (int j = 0; j < 4; ++j) {
    StoreQuad(WithoutMinusZero(qs.words[j]), from.row, strip.nibbles[j]);
  }
  for (int i = 0; i < kRowsAtOnce; ++i) {
    strip.d[from.row + i].bits = UnpackMXFP4Scale(from.at(i).e);
  }
}

// A block is two strips. Each half of a strip is two words: the first eight columns in low nibbles,
// the others in high ones.
void PackFour(const FourBlocks<BlockNVFP4>& from, UnitNVFP4 (&units)[2]) {
  const Field qs(from, &BlockNVFP4::qs);
  for (int u = 0; u < 2; ++u) {
    StripNVFP4& strip = units[u].strips[0];
    for (int j = 0; j < 2; ++j) {
      const Words a = WithoutMinusZero(qs.words[4 * u + j]);
      const Words b = WithoutMinusZero(qs.words[4 * u + 2 + j]);
      StoreQuad((a & 0x0f0f0f0f) | (b & 0x0f0f0f0f) << 4, from.row, strip.nibbles[j]);
      StoreQuad(((a >> 4) & 0x0f0f0f0f) | (b & 0xf0f0f0f0), from.row, strip.nibbles[2 + j]);
    }
    for (int i = 0; i < kRowsAtOnce; ++i) {
      for (int h = 0; h < 2; ++h) {
        strip.half_d[h][from.row + i] = UnpackNVFP4Scale(from.at(i).d[2 * u + h]);
      }
    }
  }
}

// --- Pairs and bits ----------------------------------------------------------------------------

// One digit of numbers in base 3, a byte each as a fraction of 256.
Words TernaryDigit(Words bytes, int digit) {
  using Halves = uint16_t __attribute__((vector_size(16)));
  constexpr uint16_t kPowers[5] = {1, 3, 9, 27, 81};
  const auto of = [=](Words spread) {
    const Halves fractions = (std::bit_cast<Halves>(spread) * kPowers[digit]) & 0xff;
    return std::bit_cast<Words>((fractions * 3) >> 8);
  };
  return of(bytes & 0x00ff00ff) | of((bytes >> 8) & 0x00ff00ff) << 8;
}

void PackFour(const FourBlocks<BlockTQ1_0>& from, UnitTernary& unit) {
  const Field qs(from, &BlockTQ1_0::qs);
  const Field qh(from, &BlockTQ1_0::qh);
  for (int s = 0; s < kSuperStrips; ++s) {
    Words words[8];
    for (int i = 0; i < 8; ++i) {
      // Of half strips from the tenth on, each a digit; the sixteenth has a word for all of it.
      const int half = 2 * (s - 5) + i / 4;
      words[i] = s < 5      ? TernaryDigit(qs.words[i], s)
                 : half < 5 ? TernaryDigit(qs.words[8 + i % 4], half)
                            : TernaryDigit(qh.words[0], i % 4);
    }
    StorePairs(words, 0, from.row, unit.strips[s].pairs);
  }
  StoreScales(from, unit);
}

void PackFour(const FourBlocks<BlockTQ2_0>& from, UnitTernary& unit) {
  const Field qs(from, &BlockTQ2_0::qs);
  for (int s = 0; s < kSuperStrips; ++s) {
    StorePairs(qs.words + s / 4 * 8, s % 4 * 2, from.row, unit.strips[s].pairs);
  }
  StoreScales(from, unit);
}

void PackFour(const FourBlocks<BlockQ2_0>& from, UnitQ2_0& unit) {
  const Field qs(from, &BlockQ2_0::qs);
  for (int i = 0; i < 4; ++i) StorePairs(qs.words[i], from.row, unit.strips[i / 2].pairs[i % 2]);
  StoreScales(from, unit);
}

void PackFour(const FourBlocks<BlockQ1_0>& from, UnitQ1_0& unit) {
  const Field qs(from, &BlockQ1_0::qs);
  for (int s = 0; s < 4; ++s) StoreBits(qs.words[s], from.row, unit.strips[s].bits);
  StoreScales(from, unit);
}

template <typename Block, typename Unit>
void PackUnits(const uint8_t* file_rows, int64_t columns, uint8_t* group) {
  pack::ForEachFour<Block, Unit>(
      file_rows, columns, group,
      [](const FourBlocks<Block>& from, Unit& unit) { PackFour(from, unit); });
}

}  // namespace

void PackIntegers(TensorType type, const uint8_t* file_rows, int64_t columns, uint8_t* group) {
  switch (type) {
    case TensorType::kIQ1_S:
      return PackUnits<BlockIQ1_S, UnitIQ1>(file_rows, columns, group);
    case TensorType::kIQ1_M:
      return PackUnits<BlockIQ1_M, UnitIQ1>(file_rows, columns, group);
    case TensorType::kIQ2_XXS:
      return PackUnits<BlockIQ2_XXS, UnitIQ2>(file_rows, columns, group);
    case TensorType::kIQ2_XS:
      return PackUnits<BlockIQ2_XS, UnitIQ2>(file_rows, columns, group);
    case TensorType::kIQ2_S:
      return PackUnits<BlockIQ2_S, UnitIQ2>(file_rows, columns, group);
    case TensorType::kIQ3_XXS:
      return PackUnits<BlockIQ3_XXS, UnitIQ3_XXS>(file_rows, columns, group);
    case TensorType::kIQ3_S:
      return PackUnits<BlockIQ3_S, UnitIQ3_S>(file_rows, columns, group);
    case TensorType::kIQ4_NL:
      return PackUnits<BlockIQ4_NL, UnitIQ4_NL>(file_rows, columns, group);
    case TensorType::kIQ4_XS:
      return PackUnits<BlockIQ4_XS, UnitIQ4_XS>(file_rows, columns, group);
    case TensorType::kMXFP4:
      return PackUnits<BlockMXFP4, UnitMXFP4>(file_rows, columns, group);
    case TensorType::kNVFP4:
      return PackUnits<BlockNVFP4, UnitNVFP4[2]>(file_rows, columns, group);
    case TensorType::kTQ1_0:
      return PackUnits<BlockTQ1_0, UnitTernary>(file_rows, columns, group);
    case TensorType::kTQ2_0:
      return PackUnits<BlockTQ2_0, UnitTernary>(file_rows, columns, group);
    case TensorType::kQ2_0:
      return PackUnits<BlockQ2_0, UnitQ2_0>(file_rows, columns, group);
    case TensorType::kQ1_0:
      return PackUnits<BlockQ1_0, UnitQ1_0>(file_rows, columns, group);
    default:
      break;
  }
  CHECK(false);
}

}  // namespace baton
