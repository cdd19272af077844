// Weights that are not numbers, by tensor, block and byte.
#ifndef BATON_ENGINE_GGUF_FINITE_CHECK_H_
#define BATON_ENGINE_GGUF_FINITE_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "engine/gguf/gguf_file.h"
#include "engine/gguf/problem.h"

namespace baton {

// Looks at `elements` weights (a multiple of the type's block) of a tensor from its quant block
// `first_block` on, whose bytes are at `blocks`. The first scale or float weight that is NaN or
// infinite, as a problem (kValue, InvalidArgument) whose offset is that of the number in the file.
// The tensor's type is one of weights.
std::optional<Problem> CheckFinite(const TensorInfo& tensor, uint64_t first_block,
                                   const uint8_t* blocks, size_t elements);

}  // namespace baton

#endif  // BATON_ENGINE_GGUF_FINITE_CHECK_H_
