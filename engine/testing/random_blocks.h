// Quant blocks of random weights.
#ifndef BATON_ENGINE_TESTING_RANDOM_BLOCKS_H_
#define BATON_ENGINE_TESTING_RANDOM_BLOCKS_H_

#include <cstddef>
#include <cstdint>

#include "engine/quant/types.h"
#include "engine/testing/random.h"

namespace baton {

// Writes valid quant blocks of any type, random in every bit that may be, whose weights have the
// mean 0 and the given root mean square, roughly. `elements` is a multiple of the type's block.
void FillRandomBlocks(TensorType type, size_t elements, float rms, Random* random, uint8_t* out);

}  // namespace baton

#endif  // BATON_ENGINE_TESTING_RANDOM_BLOCKS_H_
