// The bytes that tensors need, by their declared types and shapes, against those that a file really
// gives them: up to the next tensor, or to the end.
#ifndef BATON_ENGINE_GGUF_EXTENTS_H_
#define BATON_ENGINE_GGUF_EXTENTS_H_

#include <cstdint>

#include "absl/types/span.h"
#include "engine/gguf/gguf_file.h"
#include "engine/gguf/problem.h"

namespace baton {

// Where the data of a file lies, in bytes from its start.
struct DataExtent {
  uint64_t begin = 0;
  uint64_t end = 0;  // of the file
  uint64_t alignment = 32;
};

// Adds a problem (kExtent) for every tensor that is given too little: DataLoss where the file ends,
// InvalidArgument where another tensor begins; and where its bytes would fit something else, such
// as blocks without their scales, says so. Too much is a note, except between the blocks of a
// quantized tensor. Tensors may lie in any order.
void CheckExtents(absl::Span<const TensorInfo> tensors, const DataExtent& data,
                  ProblemList* problems);

}  // namespace baton

#endif  // BATON_ENGINE_GGUF_EXTENTS_H_
