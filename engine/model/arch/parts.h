// What most architectures read alike.
#ifndef BATON_ENGINE_MODEL_ARCH_PARTS_H_
#define BATON_ENGINE_MODEL_ARCH_PARTS_H_

#include "absl/status/status.h"
#include "engine/model/arch/spec_reader.h"
#include "engine/model/model_spec.h"

namespace baton {

// Context, layers, width, vocabulary, heads and their sizes, feed-forward sizes, experts. Gives
// spec.layers its length.
absl::Status ReadDimensions(SpecReader& reader, ModelSpec& spec);

// Dimensions, base and scaling of rope, and its divisors; the kind is the architecture's to set.
absl::Status ReadRope(SpecReader& reader, const ModelSpec& spec, RopeSpec& rope);

// token_embd, output_norm, and output where the file has it: else it is the embedding.
absl::Status ReadEnds(SpecReader& reader, ModelSpec& spec);

// attn_q, attn_k and attn_v or the fused attn_qkv, and attn_output, with biases where the file has
// them.
absl::Status ReadAttention(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                           LayerSpec& layer);

// ffn_gate, ffn_up, ffn_down; or with spec.expert_count the router ffn_gate_inp and ffn_*_exps (the
// older form, one tensor per expert, too).
absl::Status ReadGatedFeedForward(SpecReader& reader, const ModelSpec& spec,
                                  const std::string& prefix, LayerSpec& layer);

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_ARCH_PARTS_H_
