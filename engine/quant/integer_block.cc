#include "engine/quant/integer_block.h"

#include <bit>

#include "engine/base/check.h"
#include "engine/quant/blocks.h"
#include "engine/quant/codebooks.h"

namespace baton {
namespace {

// The readers below follow the drawings in blocks.h; `run` counts 32 weights.

uint16_t LoadU16(const uint8_t* bytes) { return static_cast<uint16_t>(bytes[0] | bytes[1] << 8); }

uint32_t LoadU32(const uint8_t* bytes) {
  return LoadU16(bytes) | static_cast<uint32_t>(LoadU16(bytes + 2)) << 16;
}

// Nibble i of a row of bytes, low first.
int Nibble(const uint8_t* bytes, int i) { return (bytes[i / 2] >> (i % 2 * 4)) & 15; }

void SetScale(uint16_t d, int scale, IntegerBlock& out) {
  out.d[0] = out.d[1] = d;
  out.scale[0] = out.scale[1] = static_cast<int8_t>(scale);
}

// The sign bits of eight weights, of which seven are stored: the number of minuses is even.
uint32_t EvenSigns(uint32_t seven) {
  return seven | static_cast<uint32_t>(std::popcount(seven) & 1) << 7;
}

// kCount weights of a grid's vector: codes of kBits bits, and a sign bit each.
template <int kCount, int kBits>
void ReadVector(uint32_t codes, uint32_t signs, const int8_t (&values)[16], int8_t* out) {
  for (int i = 0; i < kCount; ++i) {
    const uint32_t code = (codes >> (kBits * i)) & ((1 << kBits) - 1);
    out[i] = values[code | ((signs >> i) & 1) << kBits];
  }
}

// Sixteen bytes: the low nibbles, then the high ones.
void ReadNibbles(const uint8_t* qs, const int8_t (&values)[16], int8_t* out) {
  for (int i = 0; i < 16; ++i) {
    out[i] = values[qs[i] & 15];
    out[16 + i] = values[qs[i] >> 4];
  }
}

void Read(const BlockIQ4_NL& block, int /*run*/, IntegerBlock& out) {
  SetScale(LoadU16(block.d), 1, out);
  ReadNibbles(block.qs, kValuesIQ4, out.q);
}

void Read(const BlockIQ4_XS& block, int run, IntegerBlock& out) {
  const int high = (LoadU16(block.scales_h) >> (2 * run)) & 3;
  SetScale(LoadU16(block.d), (Nibble(block.scales_l, run) | high << 4) - 32, out);
  ReadNibbles(block.qs + 16 * run, kValuesIQ4, out.q);
}

void Read(const BlockIQ2_XXS& block, int run, IntegerBlock& out) {
  const uint8_t* indices = block.qs + 8 * run;
  const uint32_t rest = LoadU32(indices + 4);
  SetScale(LoadU16(block.d), static_cast<int>(2 * (rest >> 28) + 1), out);
  for (int v = 0; v < 4; ++v) {
    ReadVector<8, 2>(kGridIQ2_XXS[indices[v]], EvenSigns((rest >> (7 * v)) & 127), kValuesIQ2,
                     out.q + 8 * v);
  }
}

// A nibble of a scale for each half of the run.
template <typename Block>
void SetHalfScales(const Block& block, int run, IntegerBlock& out) {
  out.d[0] = out.d[1] = LoadU16(block.d);
  for (int h = 0; h < 2; ++h) {
    out.scale[h] = static_cast<int8_t>(2 * Nibble(block.scales, 2 * run + h) + 1);
  }
}

void Read(const BlockIQ2_XS& block, int run, IntegerBlock& out) {
  SetHalfScales(block, run, out);
  for (int v = 0; v < 4; ++v) {
    const uint32_t bits = LoadU16(block.qs + 2 * (4 * run + v));
    ReadVector<8, 2>(kGridIQ2_XS[bits & 511], EvenSigns(bits >> 9), kValuesIQ2, out.q + 8 * v);
  }
}

void Read(const BlockIQ2_S& block, int run, IntegerBlock& out) {
  SetHalfScales(block, run, out);
  for (int v = 0; v < 4; ++v) {
    const int high = (block.qh[run] >> (2 * v)) & 3;
    ReadVector<8, 2>(kGridIQ2_S[block.qs[4 * run + v] | high << 8], block.signs[4 * run + v],
                     kValuesIQ2, out.q + 8 * v);
  }
}

void Read(const BlockIQ3_XXS& block, int run, IntegerBlock& out) {
  const uint32_t rest = LoadU32(block.signs_scales + 4 * run);
  SetScale(LoadU16(block.d), static_cast<int>(2 * (rest >> 28) + 1), out);
  for (int v = 0; v < 8; ++v) {
    const uint32_t signs = EvenSigns((rest >> (7 * (v / 2))) & 127) >> (v % 2 * 4);
    ReadVector<4, 3>(kGridIQ3_XXS[block.qs[8 * run + v]], signs, kValuesIQ3_XXS, out.q + 4 * v);
  }
}

void Read(const BlockIQ3_S& block, int run, IntegerBlock& out) {
  SetScale(LoadU16(block.d), 2 * Nibble(block.scales, run) + 1, out);
  for (int v = 0; v < 8; ++v) {
    const int high = (block.qh[run] >> v) & 1;
    ReadVector<4, 3>(kGridIQ3_S[block.qs[8 * run + v] | high << 8],
                     block.signs[4 * run + v / 2] >> (v % 2 * 4), kValuesIQ3_S, out.q + 4 * v);
  }
}

// A shift is the "sign" of all eight codes.
void ReadShiftedVector(int index, bool down, int8_t* out) {
  ReadVector<8, 2>(kGridIQ1_S[index], down ? 0xff : 0, kValuesIQ1, out);
}

void Read(const BlockIQ1_S& block, int run, IntegerBlock& out) {
  const int high = LoadU16(block.qh + 2 * run);
  SetScale(LoadU16(block.d), 2 * ((high >> 12) & 7) + 1, out);
  for (int v = 0; v < 4; ++v) {
    ReadShiftedVector(block.qs[4 * run + v] | ((high >> (3 * v)) & 7) << 8, high >> 15,
                      out.q + 8 * v);
  }
}

void Read(const BlockIQ1_M& block, int run, IntegerBlock& out) {
  out.d[0] = out.d[1] = UnpackIQ1MScale(block.scales);
  const int scales = LoadU16(block.scales + run / 2 * 2) >> (run % 2 * 6);
  for (int h = 0; h < 2; ++h) {
    out.scale[h] = static_cast<int8_t>(2 * ((scales >> (3 * h)) & 7) + 1);
  }
  for (int v = 0; v < 4; ++v) {
    const int high = Nibble(block.qh, 4 * run + v);
    ReadShiftedVector(block.qs[4 * run + v] | (high & 7) << 8, high >> 3, out.q + 8 * v);
  }
}

void Read(const BlockTQ1_0& block, int run, IntegerBlock& out) {
  constexpr uint8_t kPowers[5] = {1, 3, 9, 27, 81};
  SetScale(LoadU16(block.d), 1, out);
  for (int j = 0; j < 32; ++j) {
    const int i = 32 * run + j;
    const uint8_t byte = i < 160   ? block.qs[i % 32]
                         : i < 240 ? block.qs[32 + i % 16]
                                   : block.qh[i % 4];
    const int digit = i < 160 ? i / 32 : i < 240 ? (i - 160) / 16 : (i - 240) / 4;
    const uint8_t fraction = static_cast<uint8_t>(byte * kPowers[digit]);
    out.q[j] = static_cast<int8_t>((fraction * 3 >> 8) - 1);
  }
}

void Read(const BlockTQ2_0& block, int run, IntegerBlock& out) {
  SetScale(LoadU16(block.d), 1, out);
  for (int i = 0; i < 32; ++i) {
    out.q[i] = static_cast<int8_t>(((block.qs[run / 4 * 32 + i] >> (run % 4 * 2)) & 3) - 1);
  }
}

void Read(const BlockMXFP4& block, int /*run*/, IntegerBlock& out) {
  SetScale(UnpackMXFP4Scale(block.e), 1, out);
  ReadNibbles(block.qs, kValuesFP4, out.q);
}

void Read(const BlockNVFP4& block, int run, IntegerBlock& out) {
  for (int h = 0; h < 2; ++h) {
    out.d[h] = UnpackNVFP4Scale(block.d[2 * run + h]);
    out.scale[h] = 1;
    const uint8_t* qs = block.qs + 8 * (2 * run + h);
    for (int i = 0; i < 8; ++i) {
      out.q[16 * h + i] = kValuesFP4[qs[i] & 15];
      out.q[16 * h + 8 + i] = kValuesFP4[qs[i] >> 4];
    }
  }
}

void Read(const BlockQ1_0& block, int run, IntegerBlock& out) {
  SetScale(LoadU16(block.d), 1, out);
  const uint32_t bits = LoadU32(block.qs + 4 * run);
  for (int i = 0; i < 32; ++i) out.q[i] = kValuesQ1_0[(bits >> i) & 1];
}

void Read(const BlockQ2_0& block, int run, IntegerBlock& out) {
  SetScale(LoadU16(block.d), 1, out);
  for (int i = 0; i < 32; ++i) {
    out.q[i] = static_cast<int8_t>(((block.qs[8 * run + i / 4] >> (i % 4 * 2)) & 3) - 1);
  }
}

struct Reader {
  TensorType type;
  void (*read)(const uint8_t* block, int run, IntegerBlock& out);
  float scale_unit;
};

template <typename Block>
constexpr Reader ReaderOf(TensorType type, float scale_unit = 1.0f) {
  const auto read = [](const uint8_t* block, int run, IntegerBlock& out) {
    Read(*reinterpret_cast<const Block*>(block), run, out);
  };
  return {type, read, scale_unit};
}

constexpr Reader kReaders[] = {
    ReaderOf<BlockIQ1_S>(TensorType::kIQ1_S, 0.125f),
    ReaderOf<BlockIQ1_M>(TensorType::kIQ1_M, 0.125f),
    ReaderOf<BlockIQ2_XXS>(TensorType::kIQ2_XXS, 0.125f),
    ReaderOf<BlockIQ2_XS>(TensorType::kIQ2_XS, 0.125f),
    ReaderOf<BlockIQ2_S>(TensorType::kIQ2_S, 0.125f),
    ReaderOf<BlockIQ3_XXS>(TensorType::kIQ3_XXS, 0.25f),
    ReaderOf<BlockIQ3_S>(TensorType::kIQ3_S),
    ReaderOf<BlockIQ4_NL>(TensorType::kIQ4_NL),
    ReaderOf<BlockIQ4_XS>(TensorType::kIQ4_XS),
    ReaderOf<BlockTQ1_0>(TensorType::kTQ1_0),
    ReaderOf<BlockTQ2_0>(TensorType::kTQ2_0),
    ReaderOf<BlockMXFP4>(TensorType::kMXFP4),
    ReaderOf<BlockNVFP4>(TensorType::kNVFP4),
    ReaderOf<BlockQ1_0>(TensorType::kQ1_0),
    ReaderOf<BlockQ2_0>(TensorType::kQ2_0),
};

const Reader* FindReader(TensorType type) {
  for (const Reader& reader : kReaders) {
    if (reader.type == type) return &reader;
  }
  return nullptr;
}

}  // namespace

bool IsIntegerType(TensorType type) { return FindReader(type) != nullptr; }

IntegerBlock ReadIntegerBlock(TensorType type, const uint8_t* block, int run) {
  const Reader* reader = FindReader(type);
  CHECK(reader != nullptr);
  IntegerBlock out;
  reader->read(block, run, out);
  return out;
}

float ScaleUnit(TensorType type) {
  const Reader* reader = FindReader(type);
  CHECK(reader != nullptr);
  return reader->scale_unit;
}

}  // namespace baton
