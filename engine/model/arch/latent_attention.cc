#include "engine/model/arch/latent_attention.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/deterministic_math.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

int MostHeads(const ModelSpec& spec) {
  int most = 0;
  for (const LayerSpec& layer : spec.layers) most = std::max(most, layer.head_count);
  return most;
}

// The header's key_length and value_length are those of the latent where the file has the others.
absl::StatusOr<LatentHeadSizes> ReadHeadSizes(SpecReader& reader, const ModelSpec& spec) {
  LatentHeadSizes sizes;
  sizes.absorbed = reader.Has("attention.key_length_mla");
  int key_size = spec.key_size;
  sizes.value = spec.value_size;
  if (sizes.absorbed) {
    ASSIGN_OR_RETURN(key_size, reader.Integer("attention.key_length_mla", 2, kMaxHeadSize));
    ASSIGN_OR_RETURN(sizes.value, reader.Integer("attention.value_length_mla", 1, kMaxHeadSize));
  }
  ASSIGN_OR_RETURN(sizes.rotated, reader.Integer("rope.dimension_count", 2, key_size - 1));
  sizes.plain = key_size - sizes.rotated;
  return sizes;
}

// Yarn multiplies the scores, not the rotated part alone, where the file gives the logarithm's
// factor.
absl::Status ReadAttentionScale(SpecReader& reader, const LatentHeadSizes& sizes, ModelSpec& spec) {
  RopeSpec& rope = spec.ropes[0];
  ASSIGN_OR_RETURN(const float factor, reader.Float("rope.scaling.yarn_log_multiplier", 0.0f));
  double magnitude = rope.attention_factor;
  if (rope.scaling == RopeScaling::kYarn && rope.factor > 1) {
    const double logarithm = Log(rope.factor);
    rope.yarn_magnitude = factor == 0;
    if (rope.yarn_magnitude) magnitude *= 1.0 + 0.1 * logarithm;
    magnitude *= 1.0 + factor * logarithm;
  }
  spec.attention_scale =
      static_cast<float>(magnitude * magnitude / std::sqrt(double(sizes.plain + sizes.rotated)));
  return absl::OkStatus();
}

// The parts of the latent's product that make K and V of each head.
absl::Status ReadLatentUp(SpecReader& reader, const LatentHeadSizes& sizes,
                          const std::string& prefix, LayerSpec& layer) {
  LatentAttentionSpec& latent = layer.latent;
  const int heads = layer.head_count;
  if (sizes.absorbed) {
    ASSIGN_OR_RETURN(const TensorSlice keys, reader.Matrices(absl::StrCat(prefix, "attn_k_b"),
                                                             heads, latent.rank, sizes.plain));
    ASSIGN_OR_RETURN(const TensorSlice values, reader.Matrices(absl::StrCat(prefix, "attn_v_b"),
                                                               heads, sizes.value, latent.rank));
    for (int i = 0; i < heads; ++i) {
      latent.key_up.push_back(RowsOf(keys, i * latent.rank, latent.rank));
      latent.value_up.push_back(RowsOf(values, i * sizes.value, sizes.value));
    }
    return absl::OkStatus();
  }
  const int rows = sizes.plain + sizes.value;  // of a head
  ASSIGN_OR_RETURN(const TensorSlice both, reader.Matrix(absl::StrCat(prefix, "attn_kv_b"),
                                                         int64_t{heads} * rows, latent.rank));
  latent.key_up_transposed = true;
  for (int i = 0; i < heads; ++i) {
    latent.key_up.push_back(RowsOf(both, i * rows, sizes.plain));
    latent.value_up.push_back(RowsOf(both, i * rows + sizes.plain, sizes.value));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LatentHeadSizes> ReadLatentDimensions(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(reader.CheckPartCount(spec.layer_count, MostHeads(spec), "heads"));
  ASSIGN_OR_RETURN(const LatentHeadSizes sizes, ReadHeadSizes(reader, spec));
  RETURN_IF_ERROR(ReadAttentionScale(reader, sizes, spec));
  ASSIGN_OR_RETURN(spec.value_size,
                   reader.Integer("attention.kv_lora_rank", 1, kMaxHeadSize - sizes.rotated));
  spec.key_size = spec.value_size + sizes.rotated;
  return sizes;
}

absl::Status ReadLatentAttention(SpecReader& reader, const ModelSpec& spec,
                                 const LatentHeadSizes& sizes, const std::string& prefix,
                                 LayerSpec& layer) {
  const int64_t query_rows = int64_t{layer.head_count} * (sizes.plain + sizes.rotated);
  LatentAttentionSpec& latent = layer.latent;
  layer.kv_head_count = 1;
  latent.rank = spec.value_size;
  latent.plain_size = sizes.plain;
  latent.value_size = sizes.value;
  ASSIGN_OR_RETURN(layer.attention_norm,
                   reader.Norm(absl::StrCat(prefix, "attn_norm"), spec.width, spec.norm_kind));
  if (reader.HasTensor(absl::StrCat(prefix, "attn_q_a"))) {
    ASSIGN_OR_RETURN(const int rank, reader.Integer("attention.q_lora_rank", 1, kMaxDimension));
    ASSIGN_OR_RETURN(latent.query_down,
                     reader.Linear(absl::StrCat(prefix, "attn_q_a"), rank, spec.width));
    ASSIGN_OR_RETURN(latent.query_norm,
                     reader.Norm(absl::StrCat(prefix, "attn_q_a_norm"), rank, spec.norm_kind));
    ASSIGN_OR_RETURN(layer.query,
                     reader.Linear(absl::StrCat(prefix, "attn_q_b"), query_rows, rank));
  } else {
    reader.Has("attention.q_lora_rank");
    ASSIGN_OR_RETURN(layer.query,
                     reader.Linear(absl::StrCat(prefix, "attn_q"), query_rows, spec.width));
  }
  ASSIGN_OR_RETURN(latent.down,
                   reader.Linear(absl::StrCat(prefix, "attn_kv_a_mqa"), spec.key_size, spec.width));
  ASSIGN_OR_RETURN(latent.norm, reader.Norm(absl::StrCat(prefix, "attn_kv_a_norm"), latent.rank,
                                            spec.norm_kind));
  RETURN_IF_ERROR(ReadLatentUp(reader, sizes, prefix, layer));
  ASSIGN_OR_RETURN(layer.attention_output,
                   reader.Linear(absl::StrCat(prefix, "attn_output"), spec.width,
                                 int64_t{layer.head_count} * sizes.value));
  return absl::OkStatus();
}

}  // namespace baton
