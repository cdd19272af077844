// From quant blocks to floats: the scalar truth that every fast kernel is measured against.
#ifndef BATON_ENGINE_QUANT_DEQUANTIZE_H_
#define BATON_ENGINE_QUANT_DEQUANTIZE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "engine/quant/types.h"

namespace baton {

// Writes `elements` floats (a multiple of the type's block) from the blocks at `blocks`, which
// need no alignment. Bit-equal to the published reference for every bit pattern that is a number.
void Dequantize(TensorType type, const uint8_t* blocks, size_t elements, float* out);

// Bytes of a quant block that are scales and minimums in half precision; 0 where a weight is itself
// a float, or nothing multiplies with the type.
size_t HalfScaleBytes(TensorType type);

// Where weights are not numbers.
struct NonFinite {
  size_t block;      // index of the quant block from `blocks` (of the element, for float types)
  size_t byte;       // offset of the scale or weight from `blocks`
  std::string what;  // "scale d is nan", "weight is -inf"
};

// The first scale (or float weight) that is NaN or infinite, if there is one.
std::optional<NonFinite> FindNonFinite(TensorType type, const uint8_t* blocks, size_t elements);

}  // namespace baton

#endif  // BATON_ENGINE_QUANT_DEQUANTIZE_H_
