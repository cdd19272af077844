// What most architectures read alike.
#ifndef BATON_ENGINE_MODEL_ARCH_PARTS_H_
#define BATON_ENGINE_MODEL_ARCH_PARTS_H_

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model/arch/spec_reader.h"
#include "engine/model/model_spec.h"

namespace baton {

// Gives each layer of the pattern the window of attention.sliding_window; none where that is 0.
// Without a default the key must be there.
absl::Status ReadWindows(SpecReader& reader, std::optional<int> default_window, int default_period,
                         ModelSpec& spec);

// A second rope, for the layers with a window: as the first, with the base of rope.freq_base_swa
// where the file has it.
absl::Status AddWindowRope(SpecReader& reader, float default_base, ModelSpec& spec);
// Rope without any scaling of the context.
RopeSpec WithoutScaling(RopeSpec rope);

// What stands outside the layers in most models: dimensions (spec.layers has its length then), the
// kind of all norms, the first rope of the model with its divisors, both ends.
absl::Status ReadModel(SpecReader& reader, NormKind norm, RopeKind rope, ModelSpec& spec);

// Calls body(prefix, layer, index) for each layer, with the prefix of its tensors: "blk.0.".
absl::Status ForEachLayer(ModelSpec& spec,
                          const std::function<absl::Status(const std::string& prefix,
                                                           LayerSpec& layer, int index)>& body);

// attn_norm; attn_q, attn_k and attn_v or the fused attn_qkv; and attn_output, with biases where
// the file has them.
absl::Status ReadNormedAttention(SpecReader& reader, const ModelSpec& spec,
                                 const std::string& prefix, LayerSpec& layer);
// The same without the norm.
absl::Status ReadAttention(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                           LayerSpec& layer);

// attn_q_norm and attn_k_norm, with one weight per element of a head.
absl::Status ReadHeadNorms(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                           HeadNormPlace place, LayerSpec& layer);
// The same with weights for all heads; normalised head by head, or over the whole row.
absl::Status ReadRowNorms(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                          bool whole_row, LayerSpec& layer);

// ffn_gate, ffn_up, ffn_down of layer.feed_forward_size.
absl::Status ReadDenseFeedForward(SpecReader& reader, const ModelSpec& spec,
                                  const std::string& prefix, LayerSpec& layer);
// The same with gate and up behind each other in ffn_up.
absl::Status ReadFusedFeedForward(SpecReader& reader, const ModelSpec& spec,
                                  const std::string& prefix, LayerSpec& layer);
// Without a gate.
absl::Status ReadPlainFeedForward(SpecReader& reader, const ModelSpec& spec,
                                  const std::string& prefix, LayerSpec& layer);
// The router ffn_gate_inp and ffn_*_exps, each of `size`: also the older form, one tensor per
// expert, and the form with gate and up in one tensor.
absl::Status ReadExperts(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                         int size, LayerSpec& layer);
// exp_probs_b, where the file has it: the bias of the choice.
absl::Status ReadChoiceBias(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                            LayerSpec& layer);
// The expert that all rows share, ffn_*_shexp.
absl::Status ReadSharedExpert(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                              int64_t size, LayerSpec& layer);
// Size of one expert by expert_feed_forward_length; by default feed_forward_length divided among
// those that a row uses.
absl::StatusOr<int> ReadExpertSize(SpecReader& reader, const ModelSpec& spec);

// ffn_norm, and behind it the dense part or the experts, as the model has.
absl::Status ReadNormedFeedForward(SpecReader& reader, const ModelSpec& spec,
                                   const std::string& prefix, LayerSpec& layer);
// ffn_norm alone.
absl::Status ReadFeedForwardNorm(SpecReader& reader, const ModelSpec& spec,
                                 const std::string& prefix, LayerSpec& layer);
// Layers of these two alone.
absl::Status ReadPlainLayers(SpecReader& reader, ModelSpec& spec);
// post_attention_norm and post_ffw_norm, of what the parts add.
absl::Status ReadPostNorms(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                           LayerSpec& layer);

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_ARCH_PARTS_H_
