// OLMo 2 and 3 (arXiv 2501.00656): norms stand behind the parts alone, and Q and K are normalised
// over all their heads. The third has windows, whose layers are rotated without scaling.
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

absl::Status ReadOlmo2(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kHalves, spec));
  RETURN_IF_ERROR(ReadWindows(reader, 0, 4, spec));
  RETURN_IF_ERROR(AddWindowRope(reader, spec.ropes[0].frequency_base, spec));
  spec.ropes[1] = WithoutScaling(spec.ropes[1]);
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadAttention(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadRowNorms(reader, spec, prefix, /*whole_row=*/true, layer));
    RETURN_IF_ERROR(ReadDenseFeedForward(reader, spec, prefix, layer));
    return ReadPostNorms(reader, spec, prefix, layer);
  });
}

}  // namespace baton
