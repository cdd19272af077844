// The tensor types of GGUF: one table of traits.
//
// Source of the ids and sizes: the GGUF format as published by its maintainers. A *quant block* is
// the smallest unit of a type: `block_elements` consecutive weights of one row in `block_bytes`
// bytes. All scales are little-endian IEEE half floats unless the layout in blocks.h says
// otherwise. Every type of the format is in the table, also those that nothing multiplies with: a
// file's tensors can be listed and measured whatever they are.
#ifndef BATON_ENGINE_QUANT_TYPES_H_
#define BATON_ENGINE_QUANT_TYPES_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace baton {

// The values are on-disk ids: do not change them.
enum class TensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
  kQ2_0 = 42,
};

struct TypeTraits {
  TensorType type;
  const char* name;         // as in "Q4_K"
  uint32_t block_elements;  // weights per quant block
  uint32_t block_bytes;     // bytes per quant block
  bool is_weight;           // false: known and listed, but nothing multiplies with it
};

// Null where the id is not one of the format: removed ones, future ones.
const TypeTraits* FindTypeTraits(uint32_t id);
// The name of a type that was in the format once, and whose id is not used again; else null.
const char* RemovedTypeName(uint32_t id);

// Of a type that is known to be in the table.
const TypeTraits& TraitsOf(TensorType type);
absl::Span<const TypeTraits> AllTypeTraits();

// Bytes of a row of `elements` weights; elements must be a multiple of block_elements.
uint64_t RowBytes(TensorType type, uint64_t elements);

}  // namespace baton

#endif  // BATON_ENGINE_QUANT_TYPES_H_
