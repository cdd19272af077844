// One row's share of one strip, as plain numbers: the slow and obvious way in and out of the packed
// layouts. Row lookup and the scalar kernels go through it, and fast packing is compared with it.
#ifndef BATON_ENGINE_KERNELS_PACKED_BLOCK_H_
#define BATON_ENGINE_KERNELS_PACKED_BLOCK_H_

#include <cstdint>

#include "engine/kernels/kernels.h"
#include "engine/quant/types.h"

namespace baton {

// 32 consecutive weights of one row. Which fields a format has, and what a weight is:
//
//   Q4_0 Q5_0 Q8_0   d * q[i]
//   Q4_1 Q5_1        d * q[i] + m
//   Q4_K Q5_K        d * scale[0] * q[i] - m * min[0]               (m is the file's dmin)
//   Q3_K Q6_K        d * scale[i / 16] * q[i]
//   Q2_K             d * scale[i / 16] * q[i] - m * min[i / 16]
//   IQ1 IQ2          u * d * scale[i / 16] * q[i]          (u is 1/8)
//   IQ3 IQ4_XS       u * d * scale[0] * q[i]               (u is 1/4 for IQ3_XXS, else 1)
//   IQ4_NL Q1_0 Q2_0 ternary MXFP4   d * q[i]
//   NVFP4            d * q[i] for i < 16, m * q[i] for the others
struct PackedBlock {
  int16_t q[32];  // as multiplied: the type's offset is already subtracted
  uint16_t d;     // half; bfloat16 for MXFP4
  uint16_t m;     // half
  int scale[2];
  int min[2];
};

// The scale d of a block as a float, times u where the format has one.
float BlockScale(PackedFormat format, const PackedBlock& block);

inline bool IsFloatFormat(PackedFormat format) { return format <= PackedFormat::kBF16; }

// Columns in the unit that repeats in a packed group: 32, or 256 for the types that have d per 256.
int64_t PackedUnitColumns(PackedFormat format);
int64_t PackedUnitBytes(PackedFormat format);

// The packed format of a tensor type that is multiplied in int8.
PackedFormat PackedFormatOf(TensorType type);

// Strip `strip` (32 columns) of row `row` in [0, kRowGroup) of a group.
PackedBlock ReadPackedBlock(PackedFormat format, const uint8_t* group, int64_t strip, int row);
void WritePackedBlock(PackedFormat format, uint8_t* group, int64_t strip, int row,
                      const PackedBlock& block);

// The 32 weights as floats, bit-equal to Dequantize() of the file's block.
void DequantizePackedBlock(PackedFormat format, const PackedBlock& block, float* out);

// Strip `strip` of a row from its bytes in the file.
PackedBlock ReadFileBlock(TensorType type, const uint8_t* row_bytes, int64_t strip);

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_PACKED_BLOCK_H_
