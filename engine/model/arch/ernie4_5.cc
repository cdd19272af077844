// ERNIE 4.5 (Baidu, 2025): a llama. The mixture of experts begins with dense layers, chooses with a
// bias that does not weigh, and may have an expert that all rows share.
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

absl::Status ReadErnie45(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kAdjacent, spec));
  return ReadPlainLayers(reader, spec);
}

absl::Status ReadErnie45Moe(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kAdjacent, spec));
  ASSIGN_OR_RETURN(const int size, ReadExpertSize(reader, spec));
  ASSIGN_OR_RETURN(const int dense_count,
                   reader.Integer("leading_dense_block_count", 0, spec.layer_count, 0));
  // Every layer behind the dense ones has experts in all published models.
  RETURN_IF_ERROR(reader.Integer("interleave_moe_layer_step", 1, 1).status());
  ASSIGN_OR_RETURN(const int shared_size,
                   reader.Integer("expert_shared_feed_forward_length", 0, kMaxDimension, 0));
  reader.Has("expert_shared_count");  // the size counts them
  return ForEachLayer(spec,
                      [&](const std::string& prefix, LayerSpec& layer, int i) -> absl::Status {
                        RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
                        RETURN_IF_ERROR(ReadFeedForwardNorm(reader, spec, prefix, layer));
                        if (i < dense_count)
                          return ReadDenseFeedForward(reader, spec, prefix, layer);
                        RETURN_IF_ERROR(ReadExperts(reader, spec, prefix, size, layer));
                        RETURN_IF_ERROR(ReadChoiceBias(reader, spec, prefix, layer));
                        if (shared_size == 0) return absl::OkStatus();
                        return ReadSharedExpert(reader, spec, prefix, shared_size, layer);
                      });
}

}  // namespace baton
