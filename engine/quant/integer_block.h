// The types whose weights are small integers by way of a code, a table or a digit: IQ1 to IQ4,
// TQ1_0, TQ2_0, MXFP4, NVFP4, Q1_0 and Q2_0. What a block says is read here, once for all who need
// it.
#ifndef BATON_ENGINE_QUANT_INTEGER_BLOCK_H_
#define BATON_ENGINE_QUANT_INTEGER_BLOCK_H_

#include <cstdint>

#include "engine/quant/types.h"

namespace baton {

// 32 consecutive weights: w[i] = d[h] * ScaleUnit(type) * scale[h] * q[i], h = i / 16. All of these
// products are exact in floats, in any order.
struct IntegerBlock {
  int8_t q[32];
  int8_t scale[2];  // 1 where a type has no scales beside d
  uint16_t d[2];    // the bits of a half; of a bfloat16 for MXFP4
};

bool IsIntegerType(TensorType type);

// Run `run` of 32 weights of the quant block at `block`. IsIntegerType(type) holds.
IntegerBlock ReadIntegerBlock(TensorType type, const uint8_t* block, int run);

// A power of two that scales have in common: 1/8 for IQ1 and IQ2, 1/4 for IQ3_XXS, else 1.
float ScaleUnit(TensorType type);

}  // namespace baton

#endif  // BATON_ENGINE_QUANT_INTEGER_BLOCK_H_
