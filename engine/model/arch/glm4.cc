// GLM 4 (arXiv 2406.12793): part of a head rotated, biases of Q, K and V, norms before and behind
// both parts, gate and up fused.
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

absl::Status ReadGlm4(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kAdjacent, spec));
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadFeedForwardNorm(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadFusedFeedForward(reader, spec, prefix, layer));
    return ReadPostNorms(reader, spec, prefix, layer);
  });
}

}  // namespace baton
