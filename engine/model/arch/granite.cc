// Granite 3 (IBM, Apache-2.0 model cards): a llama whose embedding, scores, residuals and logits
// are scaled by numbers of the file. The mixture of experts may have one that all rows share.
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

namespace {

absl::Status ReadScales(SpecReader& reader, ModelSpec& spec) {
  ASSIGN_OR_RETURN(const float divisor, reader.PositiveFloat("logit_scale"));
  spec.logit_scale = 1.0f / divisor;
  ASSIGN_OR_RETURN(spec.residual_scale, reader.FloatOrZero("residual_scale", 1.0f));
  ASSIGN_OR_RETURN(spec.embedding_scale, reader.FloatOrZero("embedding_scale", 1.0f));
  ASSIGN_OR_RETURN(spec.attention_scale,
                   reader.FloatOrZero("attention.scale", spec.attention_scale));
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadGranite(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kAdjacent, spec));
  RETURN_IF_ERROR(ReadScales(reader, spec));
  // The files' way to say that positions are not rotated at all.
  ASSIGN_OR_RETURN(const bool rotates, reader.Bool("rope.scaling.finetuned", true));
  ASSIGN_OR_RETURN(const int shared_size,
                   reader.Integer("expert_shared_feed_forward_length", 0, kMaxDimension, 0));
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    if (!rotates) layer.rope = kNoRope;
    RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadNormedFeedForward(reader, spec, prefix, layer));
    if (shared_size == 0) return absl::OkStatus();
    return ReadSharedExpert(reader, spec, prefix, shared_size, layer);
  });
}

}  // namespace baton
