#include "engine/model/arch/spec_reader.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

// A key of the format, after the architecture's name, that changes what a model computes unless it
// is zero, false or `harmless`.
struct ResultKey {
  const char* name;
  double harmless = 0;
};
constexpr ResultKey kResultKeys[] = {
    {"attention.alibi_bias_max"},
    {"attention.clamp_kqv"},
    {"attention.group_norm_groups"},
    {"attention.key_length_mla"},
    {"attention.kv_lora_rank"},
    {"attention.layer_norm_epsilon"},
    {"attention.max_alibi_bias"},
    {"attention.output_scale"},
    {"attention.q_lora_rank"},
    {"attention.scale"},
    {"attention.shared_kv_layers"},
    {"attention.sliding_window"},
    {"attention.sliding_window_pattern"},
    {"attention.temperature_length"},
    {"attention.temperature_scale"},
    {"attention.value_length_mla"},
    {"attn_logit_softcapping"},
    {"embedding_scale", 1},
    {"expert_gating_func", 1},  // softmax
    {"expert_group_count", 1},
    {"expert_group_used_count", 1},
    {"expert_shared_count"},
    {"expert_shared_feed_forward_length"},
    {"expert_weights_norm"},
    {"expert_weights_scale", 1},
    {"final_logit_softcapping"},
    {"interleave_moe_layer_step"},
    {"leading_dense_block_count"},
    {"logit_scale", 1},
    {"nextn_predict_layers"},
    {"residual_scale", 1},
    {"rope.dimension_sections"},
    {"rope.freq_base_swa"},
    {"rope.scaling.alpha", 1},
    {"rope.scaling.yarn_log_multiplier"},
    {"swin_norm"},
    {"use_parallel_residual"},
};

// Tensors outside the layers that some architecture computes with.
constexpr const char* kResultTensors[] = {
    "cls",
    "dec",
    "enc",
    "output",
    "output_norm",
    "per_layer_model_proj",
    "per_layer_proj_norm",
    "per_layer_token_embd",
    "position_embd",
    "rope_factors_long",
    "rope_factors_short",
    "rope_freqs",
    "token_embd",
    "token_embd_norm",
    "token_types",
};

// Within a layer everything counts, but for what old converters left behind: precomputed angles.
constexpr const char* kHarmlessLayerTensors[] = {"attn_rot_embd", "rope_freqs"};

template <typename Table>
bool Contains(const Table& table, absl::string_view name) {
  return std::find(std::begin(table), std::end(table), name) != std::end(table);
}

// All of its elements are zero, false or `harmless`.
bool IsNeutral(const GgufValue& value, double harmless = 0) {
  const auto is_neutral = [harmless](const auto& elements) {
    for (const auto& element : elements) {
      if constexpr (std::is_same_v<std::decay_t<decltype(element)>, std::string>) {
        return false;
      } else if (element != 0 && static_cast<double>(element) != harmless) {
        return false;
      }
    }
    return true;
  };
  return std::visit(is_neutral, value.elements);
}

absl::Status OutOfBounds(absl::string_view key, int64_t found, int64_t low, int64_t high) {
  return absl::InvalidArgumentError(
      absl::StrCat(key, " is ", found, ", expected ", low, " to ", high));
}

absl::Status Missing(absl::string_view key) {
  return absl::InvalidArgumentError(absl::StrCat("key ", key, " is missing"));
}

std::string ShapeText(std::vector<uint64_t> dims) {
  while (dims.size() > 1 && dims.back() == 1) dims.pop_back();
  return absl::StrCat("[", absl::StrJoin(dims, ", "), "]");
}

bool IsFloatType(TensorType type) {
  const TypeTraits& traits = TraitsOf(type);
  return traits.is_weight && traits.block_elements == 1;
}

std::string WeightTypeNames() {
  std::vector<std::string> names;
  for (const TypeTraits& traits : AllTypeTraits()) {
    if (traits.is_weight) names.push_back(traits.name);
  }
  return absl::StrJoin(names, ", ");
}

}  // namespace

TensorSlice RowsOf(const TensorSlice& whole, int64_t first, int64_t rows) {
  if (whole.empty()) return whole;
  return {whole.tensor, whole.first_row + first, rows, whole.columns};
}

LinearSpec RowsOf(const LinearSpec& whole, int64_t first, int64_t rows) {
  return {RowsOf(whole.weight, first, rows), RowsOf(whole.bias, first, rows)};
}

SpecReader::SpecReader(const GgufFile& file, std::string architecture)
    : file_(file), architecture_(std::move(architecture)) {}

std::string SpecReader::FullKey(absl::string_view key) {
  std::string full = absl::StrCat(architecture_, ".", key);
  asked_keys_.insert(full);
  return full;
}

bool SpecReader::Has(absl::string_view key) { return file_.Has(FullKey(key)); }

absl::StatusOr<int> SpecReader::Integer(absl::string_view key, int low, int high,
                                        std::optional<int> default_value) {
  const std::string full = FullKey(key);
  ASSIGN_OR_RETURN(const std::optional<uint32_t> value, file_.GetU32(full));
  if (!value.has_value()) {
    if (!default_value.has_value()) return Missing(full);
    return *default_value;
  }
  const int64_t number = *value;
  if (number < low || number > high) return OutOfBounds(full, number, low, high);
  return static_cast<int>(number);
}

absl::StatusOr<std::vector<int>> SpecReader::LayerIntegers(
    absl::string_view key, int layer_count, int low, int high,
    const std::optional<std::vector<int>>& default_values) {
  const std::string full = FullKey(key);
  const GgufValue* value = file_.FindValue(full);
  if (value == nullptr && default_values.has_value()) return *default_values;
  if (value == nullptr || !value->is_array) {
    ASSIGN_OR_RETURN(const int number, Integer(key, low, high));
    return std::vector<int>(layer_count, number);
  }
  ASSIGN_OR_RETURN(const std::optional<std::vector<int64_t>> numbers, file_.GetIntegers(full));
  if (!numbers.has_value()) return Missing(full);
  if (numbers->size() != static_cast<size_t>(layer_count)) {
    return absl::InvalidArgumentError(absl::StrCat(full, " has ", numbers->size(),
                                                   " entries, expected one for each of ",
                                                   layer_count, " layers"));
  }
  std::vector<int> result;
  for (const int64_t number : *numbers) {
    if (number < low || number > high) return OutOfBounds(full, number, low, high);
    result.push_back(static_cast<int>(number));
  }
  return result;
}

absl::StatusOr<uint32_t> SpecReader::Context(absl::string_view key,
                                             std::optional<uint32_t> default_value) {
  const std::string full = FullKey(key);
  ASSIGN_OR_RETURN(const std::optional<uint32_t> value, file_.GetU32(full));
  if (!value.has_value()) {
    if (!default_value.has_value()) return Missing(full);
    return *default_value;
  }
  if (*value == 0) {
    return absl::InvalidArgumentError(absl::StrCat(full, " is 0, expected at least 1"));
  }
  return std::min(*value, kMaxContextLength);
}

absl::StatusOr<float> SpecReader::PositiveFloat(absl::string_view key,
                                                std::optional<float> default_value) {
  const std::string full = FullKey(key);
  ASSIGN_OR_RETURN(const std::optional<float> value, file_.GetF32(full));
  if (!value.has_value()) {
    if (!default_value.has_value()) return Missing(full);
    return *default_value;
  }
  if (!(*value > 0) || std::isinf(*value)) {
    return absl::InvalidArgumentError(
        absl::StrCat(full, " is ", *value, ", expected a finite number above 0"));
  }
  return *value;
}

absl::StatusOr<float> SpecReader::FloatOrZero(absl::string_view key, float default_value) {
  const GgufValue* value = file_.FindValue(FullKey(key));
  if (value != nullptr && !value->is_array && IsNeutral(*value)) return default_value;
  return PositiveFloat(key, default_value);
}

absl::StatusOr<float> SpecReader::Float(absl::string_view key, float default_value) {
  const std::string full = FullKey(key);
  ASSIGN_OR_RETURN(const std::optional<float> value, file_.GetF32(full));
  if (value.has_value() && !std::isfinite(*value)) {
    return absl::InvalidArgumentError(
        absl::StrCat(full, " is ", *value, ", expected a finite number"));
  }
  return value.value_or(default_value);
}

absl::StatusOr<bool> SpecReader::Bool(absl::string_view key, bool default_value) {
  ASSIGN_OR_RETURN(const std::optional<bool> value, file_.GetBool(FullKey(key)));
  return value.value_or(default_value);
}

absl::StatusOr<std::vector<bool>> SpecReader::WindowPattern(int layer_count, int default_period) {
  constexpr absl::string_view kKey = "attention.sliding_window_pattern";
  std::vector<bool> pattern(layer_count);
  const GgufValue* value = file_.FindValue(FullKey(kKey));
  if (value != nullptr && value->is_array) {
    ASSIGN_OR_RETURN(const std::vector<int> flags, LayerIntegers(kKey, layer_count, 0, 1));
    std::copy(flags.begin(), flags.end(), pattern.begin());
    return pattern;
  }
  ASSIGN_OR_RETURN(const int period, Integer(kKey, 0, kMaxLayers, default_period));
  for (int i = 0; i < layer_count; ++i) pattern[i] = period == 0 || (i + 1) % period != 0;
  return pattern;
}

absl::StatusOr<std::string> SpecReader::String(absl::string_view key,
                                               absl::string_view default_value) {
  ASSIGN_OR_RETURN(std::optional<std::string> value, file_.GetString(FullKey(key)));
  return std::move(value).value_or(std::string(default_value));
}

bool SpecReader::HasTensor(absl::string_view name) const {
  return file_.FindTensor(absl::StrCat(name, ".weight")) != nullptr;
}

absl::StatusOr<TensorSlice> SpecReader::Replace(absl::Status status, const TensorSlice& expected) {
  if (problems_.problems().size() >= kMaxTensorProblems) return status;
  problems_.Add(MakeProblem(ProblemKind::kTensor, std::move(status), expected.tensor.name));
  return expected;
}

absl::StatusOr<TensorSlice> SpecReader::Tensor(const std::string& full_name, int64_t count,
                                               int64_t rows, int64_t columns) {
  const std::vector<uint64_t> expected = {
      static_cast<uint64_t>(columns), static_cast<uint64_t>(rows), static_cast<uint64_t>(count), 1};
  TensorSlice replacement;
  replacement.tensor.name = full_name;
  replacement.tensor.type = TensorType::kF32;
  replacement.tensor.dim_count = kMaxTensorDims;
  std::copy(expected.begin(), expected.end(), replacement.tensor.dims.begin());
  replacement.rows = count * rows;
  replacement.columns = columns;
  const TensorInfo* tensor = file_.FindTensor(full_name);
  if (tensor == nullptr) {
    return Replace(absl::InvalidArgumentError(absl::StrCat("tensor ", full_name, " is missing")),
                   replacement);
  }
  asked_tensors_.insert(tensor->name);
  const std::vector<uint64_t> found(tensor->dims.begin(), tensor->dims.end());
  if (found != expected) {
    return Replace(absl::InvalidArgumentError(absl::StrCat("tensor ", tensor->name, " has shape ",
                                                           ShapeText(found), ", expected ",
                                                           ShapeText(expected))),
                   replacement);
  }
  const TypeTraits& traits = TraitsOf(tensor->type);
  if (!traits.is_weight) {
    return Replace(absl::FailedPreconditionError(absl::StrCat("tensor ", tensor->name, " has type ",
                                                              traits.name, ", expected one of ",
                                                              WeightTypeNames())),
                   replacement);
  }
  return TensorSlice{*tensor, 0, count * rows, columns};
}

bool SpecReader::HasBias(absl::string_view name) const {
  return file_.FindTensor(absl::StrCat(name, ".bias")) != nullptr;
}

absl::StatusOr<TensorSlice> SpecReader::Matrix(absl::string_view name, int64_t rows,
                                               int64_t columns) {
  return Matrices(name, 1, rows, columns);
}

absl::StatusOr<TensorSlice> SpecReader::Matrices(absl::string_view name, int64_t count,
                                                 int64_t rows, int64_t columns) {
  return Tensor(absl::StrCat(name, ".weight"), count, rows, columns);
}

absl::StatusOr<TensorSlice> SpecReader::Vector(absl::string_view name, int64_t elements,
                                               int64_t runs) {
  const std::string full_name =
      absl::EndsWith(name, ".bias") ? std::string(name) : absl::StrCat(name, ".weight");
  ASSIGN_OR_RETURN(TensorSlice slice, Tensor(full_name, 1, runs, elements));
  if (!IsFloatType(slice.tensor.type)) {
    const absl::Status status = absl::FailedPreconditionError(
        absl::StrCat("tensor ", slice.tensor.name, " has type ", TraitsOf(slice.tensor.type).name,
                     ", expected F32, F64, F16 or BF16"));
    slice.tensor.type = TensorType::kF32;
    ASSIGN_OR_RETURN(slice, Replace(status, slice));
  }
  slice.rows = runs * elements;
  slice.columns = 1;
  return slice;
}

absl::StatusOr<TensorSlice> SpecReader::OptionalBias(absl::string_view name, int64_t elements,
                                                     int64_t runs) {
  const std::string full_name = absl::StrCat(name, ".bias");
  if (!HasBias(name)) return TensorSlice();
  return Vector(full_name, elements, runs);
}

absl::StatusOr<NormSpec> SpecReader::Norm(absl::string_view name, int64_t elements, NormKind kind) {
  NormSpec norm;
  ASSIGN_OR_RETURN(norm.weight, Vector(name, elements));
  if (kind == NormKind::kRms) return norm;
  ASSIGN_OR_RETURN(norm.bias, OptionalBias(name, elements));
  return norm;
}

absl::StatusOr<LinearSpec> SpecReader::Linear(absl::string_view name, int64_t rows,
                                              int64_t columns) {
  LinearSpec linear;
  ASSIGN_OR_RETURN(linear.weight, Matrix(name, rows, columns));
  ASSIGN_OR_RETURN(linear.bias, OptionalBias(name, rows));
  return linear;
}

absl::StatusOr<std::vector<LinearSpec>> SpecReader::FusedLinears(absl::string_view name,
                                                                 const std::vector<int64_t>& rows,
                                                                 int64_t columns) {
  int64_t row_sum = 0;
  for (const int64_t count : rows) row_sum += count;
  ASSIGN_OR_RETURN(const LinearSpec whole, Linear(name, row_sum, columns));
  std::vector<LinearSpec> parts;
  int64_t first_row = 0;
  for (const int64_t count : rows) {
    parts.push_back(RowsOf(whole, first_row, count));
    first_row += count;
  }
  return parts;
}

absl::StatusOr<std::vector<LinearSpec>> SpecReader::ExpertLinears(absl::string_view name,
                                                                  int experts, int64_t rows,
                                                                  int64_t columns) {
  ASSIGN_OR_RETURN(const TensorSlice all, Matrices(name, experts, rows, columns));
  ASSIGN_OR_RETURN(const TensorSlice biases, OptionalBias(name, rows, experts));
  std::vector<LinearSpec> result;
  for (int expert = 0; expert < experts; ++expert) {
    result.push_back(RowsOf(LinearSpec{all, biases}, expert * rows, rows));
  }
  return result;
}

absl::StatusOr<int> SpecReader::VocabularySize() {
  const TensorInfo* embedding = file_.FindTensor("token_embd.weight");
  if (embedding == nullptr) {
    return absl::InvalidArgumentError("tensor token_embd.weight is missing");
  }
  const uint64_t rows = embedding->dims[1];
  if (rows < 1 || rows > kMaxDimension) {
    return OutOfBounds("the row count of tensor token_embd.weight", rows, 1, kMaxDimension);
  }
  const std::string key = FullKey("vocab_size");
  const absl::StatusOr<std::optional<uint32_t>> declared = file_.GetU32(key);
  if (declared.ok() && declared->has_value() && **declared != rows) {
    problems_.Add(MakeNote(ProblemKind::kHyperparameter,
                           absl::StrCat(key, " is ", **declared, ", but token_embd.weight has ",
                                        rows, " rows, which count")));
  }
  const GgufValue* tokens = file_.FindValue("tokenizer.ggml.tokens");
  if (tokens != nullptr && tokens->is_array && tokens->size() != rows) {
    return absl::InvalidArgumentError(absl::StrCat("tensor token_embd.weight has ", rows,
                                                   " rows, expected one for each of ",
                                                   tokens->size(), " tokens of the vocabulary"));
  }
  return static_cast<int>(rows);
}

absl::Status SpecReader::CheckPartCount(int layer_count, int count, absl::string_view parts) const {
  if (int64_t{layer_count} * count <= kMaxDescribedParts) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(architecture_, ".block_count is ", layer_count, ", with ", count, " ", parts,
                   " in each, expected at most ", kMaxDescribedParts, " ", parts, " in all"));
}

void SpecReader::AddNote(std::string text) {
  problems_.Add(MakeNote(ProblemKind::kHyperparameter, std::move(text)));
}

void SpecReader::AddUnread(int layer_count) {
  for (const ResultKey& key : kResultKeys) {
    const std::string full = absl::StrCat(architecture_, ".", key.name);
    const GgufValue* value = file_.FindValue(full);
    if (value != nullptr && !asked_keys_.contains(full) && !IsNeutral(*value, key.harmless)) {
      problems_.Add(MakeProblem(
          ProblemKind::kUnused,
          absl::FailedPreconditionError(absl::StrCat(
              "key ", full, " is not supported for architecture \"", architecture_, "\""))));
    }
  }
  for (const TensorInfo& tensor : file_.tensors()) {
    if (!asked_tensors_.contains(tensor.name)) AddUnreadTensor(tensor, layer_count);
  }
}

void SpecReader::AddUnreadTensor(const TensorInfo& tensor, int layer_count) {
  absl::string_view name = tensor.name;
  const bool in_layer = absl::ConsumePrefix(&name, "blk.");
  int layer = -1;
  if (in_layer && absl::SimpleAtoi(name.substr(0, name.find('.')), &layer) &&
      layer >= layer_count) {
    problems_.Add(MakeProblem(ProblemKind::kUnused,
                              absl::InvalidArgumentError(absl::StrCat(
                                  "tensor ", tensor.name, " is of layer ", layer, ", but ",
                                  architecture_, ".block_count is ", layer_count)),
                              tensor.name));
    return;
  }
  if (in_layer) name.remove_prefix(std::min(name.find('.'), name.size() - 1) + 1);
  const absl::string_view part = name.substr(0, name.find('.'));
  const bool matters =
      in_layer ? !Contains(kHarmlessLayerTensors, part) : Contains(kResultTensors, part);
  if (!matters) {
    problems_.Add(MakeNote(ProblemKind::kUnused,
                           absl::StrCat("tensor ", tensor.name, " is not used"), tensor.name));
    return;
  }
  problems_.Add(MakeProblem(
      ProblemKind::kUnused,
      absl::FailedPreconditionError(absl::StrCat(
          "tensor ", tensor.name, " is not supported for architecture \"", architecture_, "\"")),
      tensor.name));
}

}  // namespace baton
