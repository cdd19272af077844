// Hunyuan (Tencent, arXiv 2411.02265): each head of Q and K is normalised after it is rotated. The
// dense models stretch rope by raising its base; in the mixture of experts all rows share one.
#include "engine/base/deterministic_math.h"
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

namespace {

absl::Status ReadHunyuanAttention(SpecReader& reader, const ModelSpec& spec,
                                  const std::string& prefix, LayerSpec& layer) {
  RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
  return ReadHeadNorms(reader, spec, prefix, HeadNormPlace::kAfterRope, layer);
}

}  // namespace

absl::Status ReadHunyuanDense(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kHalves, spec));
  ASSIGN_OR_RETURN(const float alpha, reader.FloatOrZero("rope.scaling.alpha", 1.0f));
  if (alpha != 1.0f && spec.key_size > 2) {
    // base * alpha^(d / (d - 2))
    const double exponent = static_cast<double>(spec.key_size) / (spec.key_size - 2);
    float& base = spec.ropes[0].frequency_base;
    base = static_cast<float>(base * Exp(exponent * Log(alpha)));
  }
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadHunyuanAttention(reader, spec, prefix, layer));
    return ReadNormedFeedForward(reader, spec, prefix, layer);
  });
}

absl::Status ReadHunyuanMoe(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kHalves, spec));
  // Its experts have the size of feed_forward_length; files repeat it under another key.
  ASSIGN_OR_RETURN(const int size, ReadExpertSize(reader, spec));
  reader.Has("expert_shared_count");  // the size counts them
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    ASSIGN_OR_RETURN(const int shared_size, reader.Integer("expert_shared_feed_forward_length", 1,
                                                           kMaxDimension, layer.feed_forward_size));
    RETURN_IF_ERROR(ReadHunyuanAttention(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadFeedForwardNorm(reader, spec, prefix, layer));
    RETURN_IF_ERROR(ReadExperts(reader, spec, prefix, size, layer));
    return ReadSharedExpert(reader, spec, prefix, shared_size, layer);
  });
}

}  // namespace baton
