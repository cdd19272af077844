// StableLM 2 (arXiv 2402.17834): layer norms, part of a head rotated. The largest normalises each
// head of Q and K and has no norm before the feed-forward part, which reads what attention read.
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

absl::Status ReadStableLm(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kLayer, RopeKind::kHalves, spec));
  // Converters write the key for every model; the tensors tell.
  reader.Has("use_parallel_residual");
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
    if (reader.HasTensor(absl::StrCat(prefix, "attn_q_norm"))) {
      RETURN_IF_ERROR(ReadRowNorms(reader, spec, prefix, /*whole_row=*/false, layer));
    }
    layer.parallel = !reader.HasTensor(absl::StrCat(prefix, "ffn_norm"));
    if (!layer.parallel) RETURN_IF_ERROR(ReadFeedForwardNorm(reader, spec, prefix, layer));
    return ReadDenseFeedForward(reader, spec, prefix, layer);
  });
}

}  // namespace baton
