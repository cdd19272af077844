// PackGroup for the types of engine/quant/integer_block.h. For pack_group.cc alone.
#ifndef BATON_ENGINE_KERNELS_PACK_INTEGERS_H_
#define BATON_ENGINE_KERNELS_PACK_INTEGERS_H_

#include <cstdint>

#include "engine/quant/types.h"

namespace baton {

// As PackGroup, to the type's own format. IsIntegerType(type) holds.
void PackIntegers(TensorType type, const uint8_t* file_rows, int64_t columns, uint8_t* group);

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_PACK_INTEGERS_H_
