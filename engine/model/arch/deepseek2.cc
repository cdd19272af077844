// DeepSeek V2, V3 and R1, and what is saved as them (arXiv 2405.04434, 2412.19437): multi-head
// latent attention, dense layers first, then experts beside some that all rows share.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/deterministic_math.h"
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/parts.h"

namespace baton {

namespace {

int MostHeads(const ModelSpec& spec) {
  int most = 0;
  for (const LayerSpec& layer : spec.layers) most = std::max(most, layer.head_count);
  return most;
}

// Sizes of a head as they are before K is absorbed into Q.
struct HeadSizes {
  int rotated = 0;
  int plain = 0;
  int value = 0;
  bool absorbed = false;  // the file has K's and V's part of the product apart
};

// The header's key_length and value_length are those of the latent where the file has the others.
absl::StatusOr<HeadSizes> ReadHeadSizes(SpecReader& reader, const ModelSpec& spec) {
  HeadSizes sizes;
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
absl::Status ReadAttentionScale(SpecReader& reader, const HeadSizes& sizes, ModelSpec& spec) {
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
absl::Status ReadLatentUp(SpecReader& reader, const HeadSizes& sizes, const std::string& prefix,
                          LayerSpec& layer) {
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

absl::Status ReadLatentAttention(SpecReader& reader, const ModelSpec& spec, const HeadSizes& sizes,
                                 const std::string& prefix, LayerSpec& layer) {
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

// What all routers of the model have in common.
absl::StatusOr<RouterSpec> ReadRouter(SpecReader& reader, const ModelSpec& spec,
                                      bool has_choice_bias) {
  enum Gating { kUnsaid = 0, kSoftmax = 1, kSigmoid = 2 };
  RouterSpec router;
  // The first files did not say: a bias of the choice came with sigmoids.
  ASSIGN_OR_RETURN(const int gating,
                   reader.Integer("expert_gating_func", kUnsaid, kSigmoid, kUnsaid));
  const bool sigmoid = gating == kSigmoid || (gating == kUnsaid && has_choice_bias);
  router.gate = sigmoid ? RouterGate::kSigmoid : RouterGate::kSoftmax;
  // Groups are scored by their best expert in the second version, by their best two in the third.
  router.group_score_count = sigmoid ? 2 : 1;
  ASSIGN_OR_RETURN(router.normalized, reader.Bool("expert_weights_norm", false));
  ASSIGN_OR_RETURN(router.scale, reader.FloatOrZero("expert_weights_scale", 1.0f));
  ASSIGN_OR_RETURN(const int groups, reader.Integer("expert_group_count", 0, spec.expert_count, 0));
  router.group_count = std::max(1, groups);
  ASSIGN_OR_RETURN(const int used, reader.Integer("expert_group_used_count", 0, router.group_count,
                                                  router.group_count));
  router.group_used_count = used == 0 ? router.group_count : used;
  const int size = spec.expert_count / router.group_count;
  if (size * router.group_count != spec.expert_count ||
      router.group_used_count * size < spec.expert_used_count) {
    return absl::InvalidArgumentError(absl::StrCat(
        spec.architecture, ".expert_group_count is ", groups, " and expert_group_used_count ", used,
        ", expected equal groups of ", spec.expert_count, " experts, of which the used ones hold ",
        spec.expert_used_count));
  }
  return router;
}

}  // namespace

absl::Status ReadDeepSeek2(SpecReader& reader, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadModel(reader, NormKind::kRms, RopeKind::kAdjacent, spec));
  RETURN_IF_ERROR(reader.CheckPartCount(spec.layer_count, MostHeads(spec), "heads"));
  ASSIGN_OR_RETURN(const HeadSizes sizes, ReadHeadSizes(reader, spec));
  RETURN_IF_ERROR(ReadAttentionScale(reader, sizes, spec));
  ASSIGN_OR_RETURN(spec.value_size,
                   reader.Integer("attention.kv_lora_rank", 1, kMaxHeadSize - sizes.rotated));
  spec.key_size = spec.value_size + sizes.rotated;
  ASSIGN_OR_RETURN(const int dense_count,
                   reader.Integer("leading_dense_block_count", 0, spec.layer_count, 0));
  ASSIGN_OR_RETURN(const int size, ReadExpertSize(reader, spec));
  ASSIGN_OR_RETURN(const int shared_count, reader.Integer("expert_shared_count", 1, kMaxExperts));
  const std::string last = absl::StrCat("blk.", spec.layer_count - 1, ".exp_probs_b");
  ASSIGN_OR_RETURN(const RouterSpec router, ReadRouter(reader, spec, reader.HasBias(last)));
  return ForEachLayer(
      spec, [&](const std::string& prefix, LayerSpec& layer, int i) -> absl::Status {
        RETURN_IF_ERROR(ReadLatentAttention(reader, spec, sizes, prefix, layer));
        RETURN_IF_ERROR(ReadFeedForwardNorm(reader, spec, prefix, layer));
        if (i < dense_count) return ReadDenseFeedForward(reader, spec, prefix, layer);
        layer.router = router;
        RETURN_IF_ERROR(ReadExperts(reader, spec, prefix, size, layer));
        RETURN_IF_ERROR(ReadChoiceBias(reader, spec, prefix, layer));
        return ReadSharedExpert(reader, spec, prefix, int64_t{size} * shared_count, layer);
      });
}

}  // namespace baton
