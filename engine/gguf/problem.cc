#include "engine/gguf/problem.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace baton {

const char* ProblemKindName(ProblemKind kind) {
  switch (kind) {
    case ProblemKind::kHeader:
      return "header";
    case ProblemKind::kShard:
      return "shard";
    case ProblemKind::kTensorTable:
      return "tensor_table";
    case ProblemKind::kType:
      return "type";
    case ProblemKind::kExtent:
      return "extent";
    case ProblemKind::kArchitecture:
      return "architecture";
    case ProblemKind::kHyperparameter:
      return "hyperparameter";
    case ProblemKind::kTensor:
      return "tensor";
    case ProblemKind::kUnused:
      return "unused";
    case ProblemKind::kTokenizer:
      return "tokenizer";
    case ProblemKind::kChatTemplate:
      return "chat_template";
    case ProblemKind::kValue:
      return "value";
  }
  return "";
}

absl::Status Within(absl::string_view context, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

Problem MakeProblem(ProblemKind kind, absl::Status status, std::string tensor,
                    std::optional<uint64_t> offset) {
  const Severity severity = status.code() == absl::StatusCode::kFailedPrecondition
                                ? Severity::kUnknown
                                : Severity::kBroken;
  return {kind, severity, std::move(status), std::move(tensor), offset};
}

Problem MakeNote(ProblemKind kind, std::string message, std::string tensor,
                 std::optional<uint64_t> offset) {
  return {kind, Severity::kNote, absl::UnknownError(message), std::move(tensor), offset};
}

void ProblemList::Add(Problem problem) {
  worst_ = std::max(worst_, problem.severity);
  if (problems_.size() >= kMaxProblems) {
    ++dropped_count_;
    return;
  }
  problems_.push_back(std::move(problem));
}

bool ProblemList::Has(ProblemKind kind) const {
  return std::any_of(problems_.begin(), problems_.end(),
                     [kind](const Problem& problem) { return problem.kind == kind; });
}

absl::Status ProblemList::FirstError() const {
  for (const Problem& problem : problems_) {
    if (problem.severity != Severity::kNote) return problem.status;
  }
  return absl::OkStatus();
}

}  // namespace baton
