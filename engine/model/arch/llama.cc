// Llama, and what is saved as it: Mistral, Mixtral, SmolLM and many more.
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

absl::Status ReadLlama(SpecReader& reader, ModelSpec& spec) {
  // Converters permute the rows of Q and K so that neighbours are rotated.
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kAdjacent, spec));
  return ReadPlainLayers(reader, spec);
}

}  // namespace baton
