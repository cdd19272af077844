#include "engine/model/arch/parts.h"

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
  } else if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
  } else {
    return absl::FailedPreconditionError(
        absl::StrCat(spec.architecture, ".rope.scaling.type is \"", type,
                     "\", which is not supported; supported: none, linear, yarn"));
  }
  return absl::OkStatus();
}

// One tensor per expert, as files had it before the experts were merged.
absl::StatusOr<std::vector<LinearSpec>> ReadExperts(SpecReader& reader, const ModelSpec& spec,
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

}  // namespace

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
  if (spec.expert_count > 0) {
    ASSIGN_OR_RETURN(spec.expert_used_count,
                     reader.Integer("expert_used_count", 1, spec.expert_count));
  }
  return absl::OkStatus();
}

absl::Status ReadRope(SpecReader& reader, const ModelSpec& spec, RopeSpec& rope) {
  ASSIGN_OR_RETURN(rope.dimension_count,
                   reader.Integer("rope.dimension_count", 2, spec.key_size, spec.key_size));
  if (rope.dimension_count % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat(spec.architecture, ".rope.dimension_count is ",
                                                   rope.dimension_count,
                                                   ", expected an even number"));
  }
  ASSIGN_OR_RETURN(rope.frequency_base, reader.PositiveFloat("rope.freq_base", 10000.0f));
  RETURN_IF_ERROR(ReadScaling(reader, spec, rope));
  if (reader.HasTensor("rope_freqs")) {
    ASSIGN_OR_RETURN(rope.divisors, reader.Vector("rope_freqs", rope.dimension_count / 2));
  }
  return absl::OkStatus();
}

absl::Status ReadEnds(SpecReader& reader, ModelSpec& spec) {
  ASSIGN_OR_RETURN(spec.embedding, reader.Matrix("token_embd", spec.vocabulary_size, spec.width));
  ASSIGN_OR_RETURN(spec.output_norm, reader.Vector("output_norm", spec.width));
  spec.tied_output = !reader.HasTensor("output");
  spec.output = spec.embedding;
  if (!spec.tied_output) {
    ASSIGN_OR_RETURN(spec.output, reader.Matrix("output", spec.vocabulary_size, spec.width));
  }
  return absl::OkStatus();
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

absl::Status ReadGatedFeedForward(SpecReader& reader, const ModelSpec& spec,
                                  const std::string& prefix, LayerSpec& layer) {
  const int64_t width = spec.width;
  const int64_t size = layer.feed_forward_size;
  const std::string gate = absl::StrCat(prefix, "ffn_gate");
  const std::string up = absl::StrCat(prefix, "ffn_up");
  const std::string down = absl::StrCat(prefix, "ffn_down");
  layer.experts.resize(spec.expert_count == 0 ? 1 : spec.expert_count);
  if (spec.expert_count == 0) {
    FeedForwardSpec& dense = layer.experts[0];
    ASSIGN_OR_RETURN(dense.gate, reader.Linear(gate, size, width));
    ASSIGN_OR_RETURN(dense.up, reader.Linear(up, size, width));
    ASSIGN_OR_RETURN(dense.down, reader.Linear(down, width, size));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(layer.router,
                   reader.Matrix(absl::StrCat(prefix, "ffn_gate_inp"), spec.expert_count, width));
  ASSIGN_OR_RETURN(std::vector<LinearSpec> gates, ReadExperts(reader, spec, gate, size, width));
  ASSIGN_OR_RETURN(std::vector<LinearSpec> ups, ReadExperts(reader, spec, up, size, width));
  ASSIGN_OR_RETURN(std::vector<LinearSpec> downs, ReadExperts(reader, spec, down, width, size));
  for (int i = 0; i < spec.expert_count; ++i) {
    layer.experts[i] = {std::move(gates[i]), std::move(ups[i]), std::move(downs[i])};
  }
  return absl::OkStatus();
}

}  // namespace baton
