#include "engine/model/model_spec.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/model/arch/architectures.h"
#include "engine/model/arch/spec_reader.h"

namespace baton {
namespace {

absl::StatusOr<const Architecture*> GetArchitecture(const GgufFile& file) {
  ASSIGN_OR_RETURN(const std::string found, file.Architecture());
  if (const Architecture* architecture = FindArchitecture(found)) return architecture;
  std::vector<std::string> names;
  for (const Architecture& known : AllArchitectures()) names.push_back(known.name);
  return absl::FailedPreconditionError(absl::StrCat(
      "architecture \"", found, "\" is not supported; supported: ", absl::StrJoin(names, ", ")));
}

absl::Status ReadSpec(const GgufFile& file, const Architecture& architecture, SpecReader& reader,
                      ModelSpec& spec) {
  spec.architecture = architecture.name;
  ASSIGN_OR_RETURN(std::optional<std::string> name, file.GetString("general.name"));
  spec.name = name.value_or("");
  RETURN_IF_ERROR(architecture.read(reader, spec));
  reader.AddUnread(spec.layer_count);
  return absl::OkStatus();
}

}  // namespace

std::optional<ModelSpec> ModelSpec::Diagnose(const GgufFile& file, ProblemList* problems) {
  const absl::StatusOr<const Architecture*> architecture = GetArchitecture(file);
  if (!architecture.ok()) {
    problems->Add(MakeProblem(ProblemKind::kArchitecture, architecture.status()));
    return std::nullopt;
  }
  ModelSpec spec;
  SpecReader reader(file, (*architecture)->name);
  const absl::Status status = ReadSpec(file, **architecture, reader, spec);
  for (const Problem& problem : reader.problems().problems()) problems->Add(problem);
  if (!status.ok()) problems->Add(MakeProblem(ProblemKind::kHyperparameter, status));
  if (!status.ok() || reader.problems().worst() != Severity::kNote) return std::nullopt;
  return spec;
}

absl::StatusOr<ModelSpec> ModelSpec::Read(const GgufFile& file) {
  ProblemList problems;
  std::optional<ModelSpec> spec = Diagnose(file, &problems);
  if (spec.has_value()) return *std::move(spec);
  return Within(file.path(), problems.FirstError());
}

void VisitSlices(const LayerSpec& layer, const std::function<void(const TensorSlice&)>& visit) {
  const auto visit_slice = [&visit](const TensorSlice& slice) {
    if (!slice.empty()) visit(slice);
  };
  const auto visit_linear = [&visit_slice](const LinearSpec& linear) {
    visit_slice(linear.weight);
    visit_slice(linear.bias);
  };
  const auto visit_norm = [&visit_slice](const NormSpec& norm) {
    visit_slice(norm.weight);
    visit_slice(norm.bias);
  };
  const auto visit_feed_forward = [&visit_linear](const FeedForwardSpec& feed_forward) {
    visit_linear(feed_forward.gate);
    visit_linear(feed_forward.up);
    visit_linear(feed_forward.down);
  };
  visit_norm(layer.attention_norm);
  visit_linear(layer.latent.query_down);
  visit_norm(layer.latent.query_norm);
  visit_linear(layer.query);
  visit_linear(layer.key);
  visit_linear(layer.value);
  visit_linear(layer.latent.down);
  visit_norm(layer.latent.norm);
  for (const TensorSlice& slice : layer.latent.key_up) visit_slice(slice);
  visit_slice(layer.head_norm.query);
  visit_slice(layer.head_norm.key);
  visit_slice(layer.sinks);
  for (const TensorSlice& slice : layer.latent.value_up) visit_slice(slice);
  visit_linear(layer.attention_output);
  visit_norm(layer.attention_post_norm);
  visit_norm(layer.feed_forward_norm);
  visit_slice(layer.router.weight);
  visit_slice(layer.router.bias);
  visit_slice(layer.router.choice_bias);
  for (const FeedForwardSpec& expert : layer.experts) visit_feed_forward(expert);
  visit_feed_forward(layer.shared_expert);
  visit_slice(layer.shared_expert_gate);
  visit_norm(layer.feed_forward_post_norm);
}

ModelBytes CountModelBytes(const ModelSpec& spec) {
  ModelBytes bytes;
  for (const LayerSpec& layer : spec.layers) {
    uint64_t sum = 0;
    VisitSlices(layer, [&sum](const TensorSlice& slice) { sum += slice.bytes(); });
    bytes.layers.push_back(sum);
  }
  bytes.embedding = spec.embedding.bytes();
  bytes.head =
      spec.output_norm.weight.bytes() + spec.output_norm.bias.bytes() + spec.output.bytes();
  bytes.tied = spec.tied_output ? spec.embedding.bytes() : 0;
  bytes.output_rows = static_cast<int32_t>(spec.output.rows);
  bytes.output_row = spec.output.row_bytes();
  for (const RopeSpec& rope : spec.ropes) bytes.every_stage += rope.divisors.bytes();
  return bytes;
}

uint64_t CountStageBytes(const ModelBytes& bytes, int begin, int end, bool embedding, bool head) {
  CHECK(begin >= 0 && begin <= end && end <= static_cast<int>(bytes.layers.size()));
  uint64_t sum = bytes.every_stage;
  for (int layer = begin; layer < end; ++layer) sum += bytes.layers[layer];
  if (embedding) sum += bytes.embedding;
  if (head) sum += bytes.head;
  if (embedding && head) sum -= bytes.tied;
  return sum;
}

}  // namespace baton
