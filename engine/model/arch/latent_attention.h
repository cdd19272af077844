// What architectures with multi-head latent attention (arXiv 2405.04434) read alike.
#ifndef BATON_ENGINE_MODEL_ARCH_LATENT_ATTENTION_H_
#define BATON_ENGINE_MODEL_ARCH_LATENT_ATTENTION_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model/arch/spec_reader.h"
#include "engine/model/model_spec.h"

namespace baton {

// Sizes of a head as they are before K is absorbed into Q.
struct LatentHeadSizes {
  int rotated = 0;
  int plain = 0;
  int value = 0;
  bool absorbed = false;  // the file has K's and V's part of the product apart
};

// Sizes of heads and of the latent, and the scale of attention, yarn's part in it counted. Comes
// after ReadModel: gives spec's key_size and value_size those of the latent.
absl::StatusOr<LatentHeadSizes> ReadLatentDimensions(SpecReader& reader, ModelSpec& spec);

// attn_norm, attn_q or attn_q_a and attn_q_b, attn_kv_a_mqa, attn_output; and attn_k_b and
// attn_v_b, or as files had it before, both in attn_kv_b.
absl::Status ReadLatentAttention(SpecReader& reader, const ModelSpec& spec,
                                 const LatentHeadSizes& sizes, const std::string& prefix,
                                 LayerSpec& layer);

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_ARCH_LATENT_ATTENTION_H_
