// From floats to quant blocks: the inverse of dequantize.h.
//
// Scales and minimums are searched for the least squared error (scale_search.h); same weights, same
// blocks on every machine.
#ifndef BATON_ENGINE_QUANT_QUANTIZE_H_
#define BATON_ENGINE_QUANT_QUANTIZE_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "engine/quant/types.h"

namespace baton {

// False for Q2_K, Q3_K and the types of integer_block.h, which are read only.
bool CanQuantize(TensorType type);

// Index of the first weight that a type cannot hold: one that is NaN or infinite, or beyond the
// largest bfloat16 or half where weights or scales are of these.
std::optional<size_t> FindUnquantizable(TensorType type, const float* weights, size_t elements);

// Writes RowBytes(type, elements) bytes, which need no alignment. `elements` is a multiple of the
// type's block; CanQuantize(type) holds, and FindUnquantizable finds nothing.
void Quantize(TensorType type, const float* weights, size_t elements, uint8_t* blocks);

}  // namespace baton

#endif  // BATON_ENGINE_QUANT_QUANTIZE_H_
