// StarCoder 2 (arXiv 2402.19173): layer norms, biases everywhere, GELU without a gate.
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

absl::Status ReadStarCoder2(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kLayer, RopeKind::kHalves, spec));
  spec.activation = Activation::kGelu;
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadFeedForwardNorm(reader, spec, prefix, layer));
    return ReadPlainFeedForward(reader, spec, prefix, layer);
  });
}

}  // namespace baton
