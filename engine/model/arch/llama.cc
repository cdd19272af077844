// Llama, and what is saved as it: Mistral, Mixtral, SmolLM and many more.
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

absl::Status ReadLlama(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadDimensions(reader, spec));
  ASSIGN_OR_RETURN(spec.norm_epsilon, reader.PositiveFloat("attention.layer_norm_rms_epsilon"));
  // Converters permute the rows of Q and K so that neighbours are rotated.
  spec.rope.kind = RopeKind::kAdjacent;
  RETURN_IF_ERROR(ReadRope(reader, spec, spec.rope));
  RETURN_IF_ERROR(ReadEnds(reader, spec));
  for (int i = 0; i < spec.layer_count; ++i) {
    const std::string prefix = absl::StrCat("blk.", i, ".");
    LayerSpec& layer = spec.layers[i];
    ASSIGN_OR_RETURN(layer.attention_norm,
                     reader.Vector(absl::StrCat(prefix, "attn_norm"), spec.width));
    RETURN_IF_ERROR(ReadAttention(reader, spec, prefix, layer));
    ASSIGN_OR_RETURN(layer.feed_forward_norm,
                     reader.Vector(absl::StrCat(prefix, "ffn_norm"), spec.width));
    RETURN_IF_ERROR(ReadGatedFeedForward(reader, spec, prefix, layer));
  }
  return absl::OkStatus();
}

}  // namespace baton
