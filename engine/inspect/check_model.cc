#include "engine/inspect/check_model.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/tokenizer/tokenizer.h"

namespace baton {
namespace {

void DiagnoseTokenizer(const GgufFile& file, ProblemList* problems) {
  const absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Create(file);
  if (!tokenizer.ok()) {
    problems->Add(MakeProblem(ProblemKind::kTokenizer, tokenizer.status()));
  } else if ((*tokenizer)->lacks_pre_tokenizer()) {
    problems->Add(MakeNote(
        ProblemKind::kTokenizer,
        "tokenizer.ggml.pre is missing: the default pre-tokenizer may not be the model's own"));
  }
}

}  // namespace

std::optional<ModelSpec> DiagnoseModel(const GgufFile& file, ProblemList* problems) {
  std::optional<ModelSpec> spec;
  const bool is_vocabulary = file.tensors().empty() && file.Has("tokenizer.ggml.model");
  // Without all tensors that the table names, those that are left out would be told again.
  const bool is_whole =
      !problems->Has(ProblemKind::kTensorTable) && !problems->Has(ProblemKind::kType);
  if (is_whole && !is_vocabulary) spec = ModelSpec::Diagnose(file, problems);
  DiagnoseTokenizer(file, problems);
  return spec;
}

absl::StatusOr<ModelSpec> CheckModel(const GgufFile& file) {
  ProblemList problems;
  std::optional<ModelSpec> spec = DiagnoseModel(file, &problems);
  absl::Status error;
  for (const Problem& problem : problems.problems()) {
    if (problem.severity == Severity::kNote) continue;
    if (problem.severity == Severity::kUnknown && problem.kind == ProblemKind::kTokenizer) continue;
    error.Update(problem.status);
  }
  if (error.ok() && spec.has_value()) return *std::move(spec);
  if (error.ok()) error = absl::InvalidArgumentError("it has no tensors, a vocabulary alone");
  return Within(absl::StrCat("'", file.path(), "'"), error);
}

}  // namespace baton
