// What a whole file is quantized to: one tensor type for most matrices, and others for those that
// gain most from more bits.
//
// Names, ids, mixes and fallbacks are those of llama.cpp's llama-quantize, so a file made here has
// the types that one of the same name has elsewhere. Two differences: Q3_K, Q4_K and Q5_K are not
// short for a mix, and there are no exceptions for single models (Falcon, 70B, 8 experts).
#ifndef BATON_ENGINE_QUANT_FILE_TYPE_H_
#define BATON_ENGINE_QUANT_FILE_TYPE_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/quant/types.h"

namespace baton {

struct FileType {
  const char* name;          // as in "Q4_K_M"
  uint32_t id;               // general.file_type in the metadata
  TensorType matrix;         // of all matrices without a type of their own below
  TensorType output;         // of the output matrix, or of the embedding that serves as one
  TensorType fused_qkv;      // of attn_qkv
  TensorType early_or_late;  // of attn_v and ffn_down in the layers that gain most from more bits
};

absl::Span<const FileType> AllFileTypes();
// Null when there is none. Upper and lower case are one.
const FileType* FindFileType(absl::string_view name);
// Has this type for every matrix, the output's too.
FileType PureFileType(TensorType type);

// What a mix must know of the model.
struct MixContext {
  int layer_count = 0;
  bool tied_output = false;  // token_embd is the output matrix too
};

// Whether a tensor is a matrix that a file type speaks of. Norms, biases, rope factors and routers
// are not: they stay floats.
bool IsQuantizable(absl::string_view name, int dim_count);

// The type of such a matrix with rows of `row_elements`: the file type's choice, or where the
// blocks of that do not divide a row, the nearest type whose blocks do.
TensorType ChooseTensorType(const FileType& file_type, absl::string_view name,
                            uint64_t row_elements, const MixContext& context);

}  // namespace baton

#endif  // BATON_ENGINE_QUANT_FILE_TYPE_H_
