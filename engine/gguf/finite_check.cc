#include "engine/gguf/finite_check.h"

#include "absl/strings/str_cat.h"
#include "engine/quant/dequantize.h"

namespace baton {

std::optional<Problem> CheckFinite(const TensorInfo& tensor, uint64_t first_block,
                                   const uint8_t* blocks, size_t elements) {
  const std::optional<NonFinite> bad = FindNonFinite(tensor.type, blocks, elements);
  if (!bad.has_value()) return std::nullopt;
  const uint64_t offset =
      tensor.offset + first_block * TraitsOf(tensor.type).block_bytes + bad->byte;
  return MakeProblem(ProblemKind::kValue,
                     absl::InvalidArgumentError(absl::StrCat(
                         "tensor ", tensor.name, ", block ", first_block + bad->block, ", byte ",
                         offset, " of the file: ", bad->what, ", expected a finite number")),
                     tensor.name, offset);
}

}  // namespace baton
