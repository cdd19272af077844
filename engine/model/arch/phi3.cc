// Phi 3 and 4 (arXiv 2404.14219): Q, K and V are fused, gate and up too; "longrope" divisors.
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

absl::Status ReadPhi3(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kHalves, spec));
  // Files of this architecture hold windows that the models were not trained with, so that readers
  // agree to pass over the key.
  ASSIGN_OR_RETURN(const int window, reader.Integer("attention.sliding_window", 0,
                                                    static_cast<int>(kMaxContextLength), 0));
  if (window > 0 && static_cast<uint32_t>(window) < spec.context_length) {
    reader.AddNote(absl::StrCat(spec.architecture, ".attention.sliding_window is ", window,
                                ", but attention is over the whole context"));
  }
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadFeedForwardNorm(reader, spec, prefix, layer));
    return ReadFusedFeedForward(reader, spec, prefix, layer);
  });
}

}  // namespace baton
