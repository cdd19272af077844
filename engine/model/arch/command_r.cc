// Command R and what followed (Cohere): layer norms without bias, and both parts of a layer read
// the same normalised row. The first normalises heads in its largest model; of the second three
// layers of four see a window, and only these are rotated.
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

namespace {

absl::Status ReadBase(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kLayer, RopeKind::kAdjacent, spec));
  ASSIGN_OR_RETURN(spec.logit_scale, reader.FloatOrZero("logit_scale", 1.0f));
  return absl::OkStatus();
}

absl::Status ReadParallelLayer(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                               LayerSpec& layer) {
  layer.parallel = true;
  RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
  return ReadDenseFeedForward(reader, spec, prefix, layer);
}

}  // namespace

absl::Status ReadCommandR(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadBase(reader, spec));
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    if (reader.HasTensor(absl::StrCat(prefix, "attn_q_norm"))) {
      RETURN_IF_ERROR(ReadRowNorms(reader, spec, prefix, /*whole_row=*/false, layer));
    }
    return ReadParallelLayer(reader, spec, prefix, layer);
  });
}

absl::Status ReadCohere2(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadBase(reader, spec));
  RETURN_IF_ERROR(ReadWindows(reader, std::nullopt, 4, spec));
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    if (layer.window == 0) layer.rope = kNoRope;
    return ReadParallelLayer(reader, spec, prefix, layer);
  });
}

}  // namespace baton
