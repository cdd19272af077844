// SmolLM 3 (Hugging Face, 2025): a llama of which each fourth layer is not rotated (arXiv
// 2501.18795).
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

namespace {

constexpr int kLayersPerUnrotated = 4;

}  // namespace

absl::Status ReadSmolLm3(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kAdjacent, spec));
  return ForEachLayer(spec,
                      [&](const std::string& prefix, LayerSpec& layer, int i) -> absl::Status {
                        if ((i + 1) % kLayersPerUnrotated == 0) layer.rope = kNoRope;
                        RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
                        return ReadNormedFeedForward(reader, spec, prefix, layer);
                      });
}

}  // namespace baton
