// Whole groups of rows from their bytes in a file to the packed layout, at the speed of memory.
#ifndef BATON_ENGINE_KERNELS_PACK_GROUP_H_
#define BATON_ENGINE_KERNELS_PACK_GROUP_H_

#include <cstdint>

#include "engine/kernels/kernels.h"
#include "engine/quant/types.h"

namespace baton {

// Packs kRowGroup rows of `columns` weights, one right after the other at `file_rows` as a file has
// them, into `group` (packed_layout.h). Writes every byte of the group. `format` is the type's own,
// or kF32: dequantized.
void PackGroup(TensorType type, PackedFormat format, const uint8_t* file_rows, int64_t columns,
               uint8_t* group);

// The same for the first `row_count` rows of a group of zeros, weight by weight: the slow and
// obvious twin. The lanes of other rows stay zero.
void PackGroupSlowly(TensorType type, PackedFormat format, const uint8_t* file_rows,
                     int64_t columns, int row_count, uint8_t* group);

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_PACK_GROUP_H_
