// Writes a model again with its matrices in other tensor types.
#ifndef BATON_TOOLS_QUANTIZE_FILE_H_
#define BATON_TOOLS_QUANTIZE_FILE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "engine/gguf/gguf_file.h"
#include "engine/quant/file_type.h"
#include "engine/quant/types.h"

namespace baton {

// What became of one tensor.
struct QuantizedTensor {
  std::string name;
  std::string shape;  // as in TensorInfo::ShapeText()
  TensorType from;
  TensorType to;  // the same for what was copied
  uint64_t elements = 0;
  uint64_t bytes = 0;            // in the new file
  double squared_weights = 0.0;  // sum over all elements
  double squared_error = 0.0;    // likewise, of old less new
  float largest_error = 0.0f;
};

// Reads `in` and writes `out`: the matrices that engine/quant/file_type.h speaks of in the types it
// chooses, other tensors and the metadata as they are, general.file_type set. A matrix that has its
// type already is copied; one of another quantized type is quantized from its dequantized weights.
//
// Works tensor by tensor with all threads and some tens of MiB for each; `done` is called after
// each tensor, in the file's order. `out` appears only when it is whole, and may be `in`'s own
// path. Errors: InvalidArgument for a weight that the new type cannot hold, naming tensor and
// element; what reading and writing gives. Every type of `file_type` must be one that CanQuantize.
absl::Status QuantizeFile(const GgufFile& in, const std::string& out, const FileType& file_type,
                          int thread_count,
                          const std::function<void(const QuantizedTensor&)>& done = nullptr);

}  // namespace baton

#endif  // BATON_TOOLS_QUANTIZE_FILE_H_
