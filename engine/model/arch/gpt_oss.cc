// gpt-oss (arXiv 2508.10925): biases everywhere, attention sinks, a window in each other layer,
// experts with a clamped gate, whose weights are a softmax over those chosen.
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

absl::Status ReadGptOss(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kHalves, spec));
  ASSIGN_OR_RETURN(const int size, ReadExpertSize(reader, spec));
  RETURN_IF_ERROR(ReadWindows(reader, std::nullopt, 2, spec));
  RETURN_IF_ERROR(AddWindowRope(reader, spec.ropes[0].frequency_base, spec));
  spec.activation = Activation::kClampedSwiglu;
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
    ASSIGN_OR_RETURN(layer.sinks,
                     reader.Vector(absl::StrCat(prefix, "attn_sinks"), layer.head_count));
    // Named as if it stood behind attention, it is the norm of what the experts read.
    ASSIGN_OR_RETURN(
        layer.feed_forward_norm,
        reader.Norm(absl::StrCat(prefix, "post_attention_norm"), spec.width, spec.norm_kind));
    RETURN_IF_ERROR(ReadExperts(reader, spec, prefix, size, layer));
    layer.router.gate = RouterGate::kChosenSoftmax;
    layer.router.normalized = false;
    return absl::OkStatus();
  });
}

}  // namespace baton
