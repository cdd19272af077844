// DeepSeek V2, V3 and R1, and what is saved as them (arXiv 2405.04434, 2412.19437): multi-head
// latent attention, dense layers first, then experts beside some that all rows share.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/latent_attention.h"
#include "engine/model/arch/parts.h"

namespace baton {
namespace {

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
  ASSIGN_OR_RETURN(const LatentHeadSizes sizes, ReadLatentDimensions(reader, spec));
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
