// Gemma 1 to 3 (arXiv 2403.08295, 2408.00118, 2503.19786): the embedding is scaled, the gate is
// GELU, and files hold the norms' weights with their 1 added. From the second on both parts are
// normalised behind too and some layers see a window; the second caps scores and logits, the third
// normalises heads and turns its windows by another base.
#include <cmath>

#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

namespace {

// The largest models scale their scores by the width of a head as the others have it, not by their
// own; no key says so.
constexpr int kLayersOfGemma2Largest = 46;
constexpr int kLayersOfGemma3Largest = 62;

absl::Status ReadBase(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kHalves, spec));
  spec.activation = Activation::kGelu;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.width));
  return absl::OkStatus();
}

void ScaleByWidth(ModelSpec& spec) {
  spec.attention_scale =
      1.0f / std::sqrt(static_cast<float>(spec.width / spec.layers[0].head_count));
}

}  // namespace

absl::Status ReadGemma(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadBase(reader, spec));
  return ReadPlainLayers(reader, spec);
}

absl::Status ReadGemma2(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadBase(reader, spec));
  if (spec.layer_count == kLayersOfGemma2Largest) ScaleByWidth(spec);
  ASSIGN_OR_RETURN(spec.attention_soft_cap, reader.FloatOrZero("attn_logit_softcapping", 50.0f));
  ASSIGN_OR_RETURN(spec.logit_soft_cap, reader.FloatOrZero("final_logit_softcapping", 30.0f));
  RETURN_IF_ERROR(ReadWindows(reader, 4096, 2, spec));
  RETURN_IF_ERROR(AddWindowRope(reader, spec.ropes[0].frequency_base, spec));
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadNormedFeedForward(reader, spec, prefix, layer));
    return ReadPostNorms(reader, spec, prefix, layer);
  });
}

absl::Status ReadGemma3(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadBase(reader, spec));
  if (spec.layer_count == kLayersOfGemma3Largest) ScaleByWidth(spec);
  ASSIGN_OR_RETURN(spec.logit_soft_cap, reader.FloatOrZero("final_logit_softcapping", 0.0f));
  RETURN_IF_ERROR(ReadWindows(reader, 0, 6, spec));
  RETURN_IF_ERROR(AddWindowRope(reader, 10000.0f, spec));
  spec.ropes[1] = WithoutScaling(spec.ropes[1]);
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadHeadNorms(reader, spec, prefix, HeadNormPlace::kBeforeRope, layer));
    RETURN_IF_ERROR(ReadNormedFeedForward(reader, spec, prefix, layer));
    return ReadPostNorms(reader, spec, prefix, layer);
  });
}

}  // namespace baton
