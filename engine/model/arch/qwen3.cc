// Qwen 3 (arXiv 2505.09388): each head of Q and K is normalised before it is rotated. The mixture
// of experts has no dense layers and no shared expert.
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

absl::Status ReadQwen3(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kHalves, spec));
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadHeadNorms(reader, spec, prefix, HeadNormPlace::kBeforeRope, layer));
    return ReadNormedFeedForward(reader, spec, prefix, layer);
  });
}

absl::Status ReadQwen3Moe(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kHalves, spec));
  ASSIGN_OR_RETURN(const int size, ReadExpertSize(reader, spec));
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadHeadNorms(reader, spec, prefix, HeadNormPlace::kBeforeRope, layer));
    RETURN_IF_ERROR(ReadFeedForwardNorm(reader, spec, prefix, layer));
    return ReadExperts(reader, spec, prefix, size, layer);
  });
}

}  // namespace baton
