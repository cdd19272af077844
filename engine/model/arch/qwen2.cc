// Qwen 2 and 2.5: Q, K and V have biases, which are read where they are.
// The mixture of experts (arXiv 2407.10671) has one that all rows share, behind a gate of its own,
// and does not normalise the weights of those chosen.
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

absl::Status ReadQwen2(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kHalves, spec));
  return ReadPlainLayers(reader, spec);
}

absl::Status ReadQwen2Moe(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kHalves, spec));
  ASSIGN_OR_RETURN(const int size, ReadExpertSize(reader, spec));
  ASSIGN_OR_RETURN(const int shared_size,
                   reader.Integer("expert_shared_feed_forward_length", 1, kMaxDimension,
                                  spec.layers[0].feed_forward_size));
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadFeedForwardNorm(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadExperts(reader, spec, prefix, size, layer));
    layer.router.normalized = false;
    RETURN_IF_ERROR(ReadSharedExpert(reader, spec, prefix, shared_size, layer));
    ASSIGN_OR_RETURN(layer.shared_expert_gate,
                     reader.Matrix(absl::StrCat(prefix, "ffn_gate_inp_shexp"), 1, spec.width));
    return absl::OkStatus();
  });
}

}  // namespace baton
