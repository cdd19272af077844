#include "engine/model/arch/parts.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

absl::Status ReadHeads(SpecReader& reader, ModelSpec& spec) {
  const int layers = spec.layer_count;
  ASSIGN_OR_RETURN(const std::vector<int> heads,
                   reader.LayerIntegers("attention.head_count", layers, 1, kMaxHeads));
  ASSIGN_OR_RETURN(const std::vector<int> kv_heads,
                   reader.LayerIntegers("attention.head_count_kv", layers, 1, kMaxHeads, heads));
  for (int i = 0; i < layers; ++i) {
    if (heads[i] % kv_heads[i] != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(spec.architecture, ".attention.head_count_kv is ", kv_heads[i], " in layer ",
                       i, ", which does not divide attention.head_count, ", heads[i]));
    }
    spec.layers[i].head_count = heads[i];
    spec.layers[i].kv_head_count = kv_heads[i];
  }
  std::optional<int> head_size;
  if (spec.width % heads[0] == 0) {
    head_size = spec.width / heads[0];
  } else if (!reader.Has("attention.key_length") || !reader.Has("attention.value_length")) {
    return absl::InvalidArgumentError(
        absl::StrCat(spec.architecture, ".attention.head_count is ", heads[0],
                     ", which does not divide embedding_length, ", spec.width,
                     ", and attention.key_length and attention.value_length are missing"));
  }
  ASSIGN_OR_RETURN(spec.key_size,
                   reader.Integer("attention.key_length", 1, kMaxHeadSize, head_size));
  ASSIGN_OR_RETURN(spec.value_size,
                   reader.Integer("attention.value_length", 1, kMaxHeadSize, head_size));
  spec.attention_scale = 1.0f / std::sqrt(static_cast<float>(spec.key_size));
  return absl::OkStatus();
}

absl::Status ReadScaling(SpecReader& reader, const ModelSpec& spec, RopeSpec& rope) {
  // The key's old name.
  ASSIGN_OR_RETURN(rope.factor, reader.FloatOrZero("rope.scale_linear", 1.0f));
  ASSIGN_OR_RETURN(rope.factor, reader.FloatOrZero("rope.scaling.factor", rope.factor));
  ASSIGN_OR_RETURN(rope.original_context,
                   reader.Context("rope.scaling.original_context_length", spec.context_length));
  ASSIGN_OR_RETURN(rope.attention_factor, reader.PositiveFloat("rope.scaling.attn_factor", 1.0f));
  ASSIGN_OR_RETURN(const std::string type, reader.String("rope.scaling.type", "linear"));
  if (type == "none") {
    rope.scaling = RopeScaling::kNone;
  } else if (type == "linear" || type == "longrope") {
    // What stretches a longrope are its divisors; a factor is rarely there.
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
  } else {
    return absl::FailedPreconditionError(
        absl::StrCat(spec.architecture, ".rope.scaling.type is \"", type,
                     "\", which is not supported; supported: none, linear, yarn, longrope"));
  }
  return absl::OkStatus();
}

// The divisors that the file has, if any.
absl::Status ReadDivisors(SpecReader& reader, RopeSpec& rope) {
  const int pairs = rope.dimension_count / 2;
  if (reader.HasTensor("rope_freqs")) {
    ASSIGN_OR_RETURN(rope.divisors, reader.Vector("rope_freqs", pairs));
  }
  // Some files have the divisors and leave the type out.
  ASSIGN_OR_RETURN(const std::string type, reader.String("rope.scaling.type", ""));
  if (type != "longrope" && !reader.HasTensor("rope_factors_long")) return absl::OkStatus();
  ASSIGN_OR_RETURN(rope.long_divisors, reader.Vector("rope_factors_long", pairs));
  ASSIGN_OR_RETURN(rope.divisors, reader.Vector("rope_factors_short", pairs));
  return absl::OkStatus();
}

// One tensor per expert, as files had it before the experts were merged.
absl::StatusOr<std::vector<LinearSpec>> ReadExpertLinears(SpecReader& reader, const ModelSpec& spec,
                                                          const std::string& name, int64_t rows,
                                                          int64_t columns) {
  if (!reader.HasTensor(absl::StrCat(name, ".0"))) {
    return reader.ExpertLinears(absl::StrCat(name, "_exps"), spec.expert_count, rows, columns);
  }
  std::vector<LinearSpec> experts;
  for (int i = 0; i < spec.expert_count; ++i) {
    ASSIGN_OR_RETURN(LinearSpec expert, reader.Linear(absl::StrCat(name, ".", i), rows, columns));
    experts.push_back(std::move(expert));
  }
  return experts;
}

// Context, layers, width, vocabulary, heads and their sizes, the scale of attention that follows
// from them, feed-forward sizes, experts. Gives spec.layers its length.
absl::Status ReadDimensions(SpecReader& reader, ModelSpec& spec) {
  ASSIGN_OR_RETURN(spec.layer_count, reader.Integer("block_count", 1, kMaxLayers));
  ASSIGN_OR_RETURN(spec.width, reader.Integer("embedding_length", 1, kMaxDimension));
  ASSIGN_OR_RETURN(spec.context_length, reader.Context("context_length"));
  ASSIGN_OR_RETURN(spec.vocabulary_size, reader.VocabularySize());
  spec.layers.resize(spec.layer_count);
  RETURN_IF_ERROR(ReadHeads(reader, spec));
  ASSIGN_OR_RETURN(const std::vector<int> sizes,
                   reader.LayerIntegers("feed_forward_length", spec.layer_count, 1, kMaxDimension));
  for (int i = 0; i < spec.layer_count; ++i) spec.layers[i].feed_forward_size = sizes[i];
  ASSIGN_OR_RETURN(spec.expert_count, reader.Integer("expert_count", 0, kMaxExperts, 0));
  RETURN_IF_ERROR(reader.CheckPartCount(spec.layer_count, spec.expert_count, "experts"));
  if (spec.expert_count > 0) {
    ASSIGN_OR_RETURN(spec.expert_used_count,
                     reader.Integer("expert_used_count", 1, spec.expert_count));
  }
  return absl::OkStatus();
}

// The kind of all norms, and its epsilon.
absl::Status ReadNormEpsilon(SpecReader& reader, NormKind kind, ModelSpec& spec) {
  spec.norm_kind = kind;
  ASSIGN_OR_RETURN(spec.norm_epsilon,
                   reader.PositiveFloat(kind == NormKind::kRms ? "attention.layer_norm_rms_epsilon"
                                                               : "attention.layer_norm_epsilon"));
  return absl::OkStatus();
}

// The first rope of the model: dimensions, base, scaling, and the divisors that the file has, those
// for short and for long contexts ("longrope") among them.
absl::Status ReadRope(SpecReader& reader, RopeKind kind, ModelSpec& spec) {
  RopeSpec rope;
  rope.kind = kind;
  ASSIGN_OR_RETURN(rope.dimension_count,
                   reader.Integer("rope.dimension_count", 2, spec.key_size, spec.key_size));
  if (rope.dimension_count % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat(spec.architecture, ".rope.dimension_count is ",
                                                   rope.dimension_count,
                                                   ", expected an even number"));
  }
  ASSIGN_OR_RETURN(rope.frequency_base, reader.PositiveFloat("rope.freq_base", 10000.0f));
  RETURN_IF_ERROR(ReadScaling(reader, spec, rope));
  RETURN_IF_ERROR(ReadDivisors(reader, rope));
  spec.ropes = {rope};
  return absl::OkStatus();
}

// token_embd, output_norm, and output where the file has it: else it is the embedding.
absl::Status ReadEnds(SpecReader& reader, ModelSpec& spec) {
  ASSIGN_OR_RETURN(spec.embedding, reader.Matrix("token_embd", spec.vocabulary_size, spec.width));
  ASSIGN_OR_RETURN(spec.output_norm, reader.Norm("output_norm", spec.width, spec.norm_kind));
  spec.tied_output = !reader.HasTensor("output");
  spec.output = spec.embedding;
  if (!spec.tied_output) {
    ASSIGN_OR_RETURN(spec.output, reader.Matrix("output", spec.vocabulary_size, spec.width));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadWindows(SpecReader& reader, std::optional<int> default_window, int default_period,
                         ModelSpec& spec) {
  ASSIGN_OR_RETURN(const int window,
                   reader.Integer("attention.sliding_window", 0,
                                  static_cast<int>(kMaxContextLength), default_window));
  ASSIGN_OR_RETURN(const std::vector<bool> pattern,
                   reader.WindowPattern(spec.layer_count, default_period));
  for (int i = 0; i < spec.layer_count; ++i) spec.layers[i].window = pattern[i] ? window : 0;
  return absl::OkStatus();
}

absl::Status AddWindowRope(SpecReader& reader, float default_base, ModelSpec& spec) {
  RopeSpec rope = spec.ropes[0];
  ASSIGN_OR_RETURN(rope.frequency_base, reader.PositiveFloat("rope.freq_base_swa", default_base));
  spec.ropes.push_back(std::move(rope));
  for (LayerSpec& layer : spec.layers) layer.rope = layer.window > 0 ? 1 : 0;
  return absl::OkStatus();
}

RopeSpec WithoutScaling(RopeSpec rope) {
  rope.scaling = RopeScaling::kNone;
  rope.factor = 1.0f;
  rope.attention_factor = 1.0f;
  rope.divisors = rope.long_divisors = TensorSlice();
  return rope;
}

absl::Status ReadAttention(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                           LayerSpec& layer) {
  const int64_t width = spec.width;
  const int64_t query_rows = int64_t{layer.head_count} * spec.key_size;
  const int64_t key_rows = int64_t{layer.kv_head_count} * spec.key_size;
  const int64_t value_rows = int64_t{layer.kv_head_count} * spec.value_size;
  const std::string fused = absl::StrCat(prefix, "attn_qkv");
  if (reader.HasTensor(fused)) {
    ASSIGN_OR_RETURN(const std::vector<LinearSpec> parts,
                     reader.FusedLinears(fused, {query_rows, key_rows, value_rows}, width));
    layer.query = parts[0];
    layer.key = parts[1];
    layer.value = parts[2];
  } else {
    ASSIGN_OR_RETURN(layer.query, reader.Linear(absl::StrCat(prefix, "attn_q"), query_rows, width));
    ASSIGN_OR_RETURN(layer.key, reader.Linear(absl::StrCat(prefix, "attn_k"), key_rows, width));
    ASSIGN_OR_RETURN(layer.value, reader.Linear(absl::StrCat(prefix, "attn_v"), value_rows, width));
  }
  ASSIGN_OR_RETURN(layer.attention_output,
                   reader.Linear(absl::StrCat(prefix, "attn_output"), width,
                                 int64_t{layer.head_count} * spec.value_size));
  return absl::OkStatus();
}

absl::Status ReadModel(SpecReader& reader, NormKind norm, RopeKind rope, ModelSpec& spec) {
  RETURN_IF_ERROR(ReadDimensions(reader, spec));
  RETURN_IF_ERROR(ReadNormEpsilon(reader, norm, spec));
  RETURN_IF_ERROR(ReadRope(reader, rope, spec));
  return ReadEnds(reader, spec);
}

absl::Status ForEachLayer(ModelSpec& spec,
                          const std::function<absl::Status(const std::string& prefix,
                                                           LayerSpec& layer, int index)>& body) {
  for (int i = 0; i < spec.layer_count; ++i) {
    RETURN_IF_ERROR(body(absl::StrCat("blk.", i, "."), spec.layers[i], i));
  }
  return absl::OkStatus();
}

absl::Status ReadNormedAttention(SpecReader& reader, const ModelSpec& spec,
                                 const std::string& prefix, LayerSpec& layer) {
  ASSIGN_OR_RETURN(layer.attention_norm,
                   reader.Norm(absl::StrCat(prefix, "attn_norm"), spec.width, spec.norm_kind));
  return ReadAttention(reader, spec, prefix, layer);
}

absl::Status ReadHeadNorms(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                           HeadNormPlace place, LayerSpec& layer) {
  layer.head_norm.place = place;
  ASSIGN_OR_RETURN(layer.head_norm.query,
                   reader.Vector(absl::StrCat(prefix, "attn_q_norm"), spec.key_size));
  ASSIGN_OR_RETURN(layer.head_norm.key,
                   reader.Vector(absl::StrCat(prefix, "attn_k_norm"), spec.key_size));
  return absl::OkStatus();
}

absl::Status ReadRowNorms(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                          bool whole_row, LayerSpec& layer) {
  const auto read = [&](const char* name, int heads) {
    const std::string full = absl::StrCat(prefix, name);
    return whole_row ? reader.Vector(full, int64_t{heads} * spec.key_size)
                     : reader.Vector(full, spec.key_size, heads);
  };
  layer.head_norm.place = HeadNormPlace::kBeforeRope;
  layer.head_norm.whole_row = whole_row;
  ASSIGN_OR_RETURN(layer.head_norm.query, read("attn_q_norm", layer.head_count));
  ASSIGN_OR_RETURN(layer.head_norm.key, read("attn_k_norm", layer.kv_head_count));
  return absl::OkStatus();
}

absl::Status ReadDenseFeedForward(SpecReader& reader, const ModelSpec& spec,
                                  const std::string& prefix, LayerSpec& layer) {
  const int64_t width = spec.width;
  const int64_t size = layer.feed_forward_size;
  layer.experts.resize(1);
  FeedForwardSpec& dense = layer.experts[0];
  ASSIGN_OR_RETURN(dense.gate, reader.Linear(absl::StrCat(prefix, "ffn_gate"), size, width));
  ASSIGN_OR_RETURN(dense.up, reader.Linear(absl::StrCat(prefix, "ffn_up"), size, width));
  ASSIGN_OR_RETURN(dense.down, reader.Linear(absl::StrCat(prefix, "ffn_down"), width, size));
  return absl::OkStatus();
}

absl::Status ReadFusedFeedForward(SpecReader& reader, const ModelSpec& spec,
                                  const std::string& prefix, LayerSpec& layer) {
  const int64_t size = layer.feed_forward_size;
  ASSIGN_OR_RETURN(const std::vector<LinearSpec> parts,
                   reader.FusedLinears(absl::StrCat(prefix, "ffn_up"), {size, size}, spec.width));
  ASSIGN_OR_RETURN(const LinearSpec down,
                   reader.Linear(absl::StrCat(prefix, "ffn_down"), spec.width, size));
  layer.experts = {{parts[0], parts[1], down}};
  return absl::OkStatus();
}

absl::Status ReadPlainFeedForward(SpecReader& reader, const ModelSpec& spec,
                                  const std::string& prefix, LayerSpec& layer) {
  const int64_t size = layer.feed_forward_size;
  ASSIGN_OR_RETURN(const LinearSpec up,
                   reader.Linear(absl::StrCat(prefix, "ffn_up"), size, spec.width));
  ASSIGN_OR_RETURN(const LinearSpec down,
                   reader.Linear(absl::StrCat(prefix, "ffn_down"), spec.width, size));
  layer.experts = {{{}, up, down}};
  return absl::OkStatus();
}

absl::Status ReadExperts(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                         int size, LayerSpec& layer) {
  const int64_t width = spec.width;
  const int count = spec.expert_count;
  const std::string router = absl::StrCat(prefix, "ffn_gate_inp");
  ASSIGN_OR_RETURN(layer.router.weight, reader.Matrix(router, count, width));
  ASSIGN_OR_RETURN(layer.router.bias, reader.OptionalBias(router, count));
  std::vector<LinearSpec> gates, ups;
  const std::string fused = absl::StrCat(prefix, "ffn_gate_up");
  if (reader.HasTensor(absl::StrCat(fused, "_exps"))) {
    ASSIGN_OR_RETURN(const std::vector<LinearSpec> both,
                     ReadExpertLinears(reader, spec, fused, 2 * size, width));
    for (const LinearSpec& linear : both) {
      gates.push_back(RowsOf(linear, 0, size));
      ups.push_back(RowsOf(linear, size, size));
    }
  } else {
    ASSIGN_OR_RETURN(
        gates, ReadExpertLinears(reader, spec, absl::StrCat(prefix, "ffn_gate"), size, width));
    ASSIGN_OR_RETURN(ups,
                     ReadExpertLinears(reader, spec, absl::StrCat(prefix, "ffn_up"), size, width));
  }
  ASSIGN_OR_RETURN(std::vector<LinearSpec> downs,
                   ReadExpertLinears(reader, spec, absl::StrCat(prefix, "ffn_down"), width, size));
  layer.feed_forward_size = size;
  layer.experts.resize(count);
  for (int i = 0; i < count; ++i) {
    layer.experts[i] = {std::move(gates[i]), std::move(ups[i]), std::move(downs[i])};
  }
  return absl::OkStatus();
}

absl::Status ReadChoiceBias(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                            LayerSpec& layer) {
  ASSIGN_OR_RETURN(layer.router.choice_bias,
                   reader.OptionalBias(absl::StrCat(prefix, "exp_probs_b"), spec.expert_count));
  return absl::OkStatus();
}

absl::Status ReadSharedExpert(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                              int64_t size, LayerSpec& layer) {
  FeedForwardSpec& shared = layer.shared_expert;
  ASSIGN_OR_RETURN(shared.gate,
                   reader.Linear(absl::StrCat(prefix, "ffn_gate_shexp"), size, spec.width));
  ASSIGN_OR_RETURN(shared.up,
                   reader.Linear(absl::StrCat(prefix, "ffn_up_shexp"), size, spec.width));
  ASSIGN_OR_RETURN(shared.down,
                   reader.Linear(absl::StrCat(prefix, "ffn_down_shexp"), spec.width, size));
  return absl::OkStatus();
}

absl::StatusOr<int> ReadExpertSize(SpecReader& reader, const ModelSpec& spec) {
  if (spec.expert_count == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        spec.architecture, ".expert_count is 0 or missing, expected the experts of a layer"));
  }
  const int share = std::max(1, spec.layers[0].feed_forward_size / spec.expert_used_count);
  return reader.Integer("expert_feed_forward_length", 1, kMaxDimension, share);
}

absl::Status ReadFeedForwardNorm(SpecReader& reader, const ModelSpec& spec,
                                 const std::string& prefix, LayerSpec& layer) {
  ASSIGN_OR_RETURN(layer.feed_forward_norm,
                   reader.Norm(absl::StrCat(prefix, "ffn_norm"), spec.width, spec.norm_kind));
  return absl::OkStatus();
}

absl::Status ReadNormedFeedForward(SpecReader& reader, const ModelSpec& spec,
                                   const std::string& prefix, LayerSpec& layer) {
  RETURN_IF_ERROR(ReadFeedForwardNorm(reader, spec, prefix, layer));
  return spec.expert_count == 0 ? ReadDenseFeedForward(reader, spec, prefix, layer)
                                : ReadExperts(reader, spec, prefix, layer.feed_forward_size, layer);
}

absl::Status ReadPlainLayers(SpecReader& reader, ModelSpec& spec) {
  return ForEachLayer(spec, [&](const std::string& prefix, LayerSpec& layer, int) -> absl::Status {
    RETURN_IF_ERROR(ReadNormedAttention(reader, spec, prefix, layer));
    return ReadNormedFeedForward(reader, spec, prefix, layer);
  });
}

absl::Status ReadPostNorms(SpecReader& reader, const ModelSpec& spec, const std::string& prefix,
                           LayerSpec& layer) {
  ASSIGN_OR_RETURN(
      layer.attention_post_norm,
      reader.Norm(absl::StrCat(prefix, "post_attention_norm"), spec.width, spec.norm_kind));
  ASSIGN_OR_RETURN(layer.feed_forward_post_norm,
                   reader.Norm(absl::StrCat(prefix, "post_ffw_norm"), spec.width, spec.norm_kind));
  return absl::OkStatus();
}

}  // namespace baton
