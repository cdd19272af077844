// Llama, and what is saved as it: Mistral, Mixtral, SmolLM and many more.
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

absl::Status ReadLlama(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadDimensions(reader, spec));
  RETURN_IF_ERROR(ReadNormEpsilon(reader, NormKind::kRms, spec));
  // Converters permute the rows of Q and K so that neighbours are rotated.
  RETURN_IF_ERROR(ReadRope(reader, RopeKind::kAdjacent, spec));
  RETURN_IF_ERROR(ReadEnds(reader, spec));
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
    return ReadNormedFeedForward(reader, spec, prefix, layer);
  });
}

}  // namespace baton
