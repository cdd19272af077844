#include "engine/inspect/inspection.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/status/statusor.h"
#include "engine/base/status_macros.h"
#include "engine/chat/chat_template.h"
#include "engine/inspect/check_model.h"

namespace baton {
namespace {

// The family of the chat template, if there is one that is recognised.
std::string DiagnoseChatTemplate(const GgufFile& file, ProblemList* problems) {
  const absl::StatusOr<std::optional<std::string>> text = file.GetString("tokenizer.chat_template");
  if (!text.ok()) {
    problems->Add(MakeProblem(ProblemKind::kChatTemplate, text.status()));
    return "";
  }
  if (!text->has_value()) return "";
  const absl::StatusOr<ChatTemplate> chat_template = ChatTemplate::FromTemplateText(**text);
  if (chat_template.ok()) return chat_template->name();
  problems->Add(
      MakeNote(ProblemKind::kChatTemplate, std::string(chat_template.status().message())));
  return "";
}

}  // namespace

Verdict Inspection::verdict() const {
  switch (problems.worst()) {
    case Severity::kNote:
      return Verdict::kSound;
    case Severity::kUnknown:
      return Verdict::kUnknown;
    case Severity::kBroken:
      break;
  }
  return Verdict::kBroken;
}

uint64_t Inspection::file_bytes() const {
  uint64_t bytes = 0;
  for (int shard = 0; file && shard < file->shard_count(); ++shard) {
    bytes += file->shard_file(shard).size();
  }
  return bytes;
}

uint64_t Inspection::parameter_count() const {
  uint64_t count = 0;
  for (const TypeTotal& total : TypeTotals()) count += total.elements;
  return count;
}

std::vector<TypeTotal> Inspection::TypeTotals() const {
  std::map<TensorType, TypeTotal> by_type;
  if (file) {
    for (const TensorInfo& tensor : file->tensors()) {
      TypeTotal& total = by_type[tensor.type];
      total.type = tensor.type;
      ++total.tensor_count;
      total.elements += tensor.elements();
      total.bytes += tensor.bytes;
    }
  }
  std::vector<TypeTotal> totals;
  for (const auto& [type, total] : by_type) totals.push_back(total);
  std::stable_sort(totals.begin(), totals.end(),
                   [](const TypeTotal& a, const TypeTotal& b) { return a.bytes > b.bytes; });
  return totals;
}

Inspection Inspect(const std::string& path) {
  Inspection inspection;
  inspection.path = path;
  inspection.file = GgufFile::Diagnose(path, &inspection.problems);
  if (!inspection.file) return inspection;
  inspection.spec = DiagnoseModel(*inspection.file, &inspection.problems);
  inspection.chat_family = DiagnoseChatTemplate(*inspection.file, &inspection.problems);
  return inspection;
}

absl::Status InspectValues(ThreadPool& pool, const ScanProgress& progress, Inspection* inspection) {
  ProblemList& problems = inspection->problems;
  const bool is_placed = std::none_of(
      problems.problems().begin(), problems.problems().end(), [](const Problem& problem) {
        return problem.severity == Severity::kBroken &&
               (problem.kind == ProblemKind::kExtent || problem.kind == ProblemKind::kTensorTable);
      });
  if (!inspection->file || !is_placed) {
    problems.Add(MakeNote(ProblemKind::kValue,
                          "the data was not looked at: it is not certain where each tensor is"));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(inspection->values, ScanValues(*inspection->file, pool, progress, &problems));
  return absl::OkStatus();
}

}  // namespace baton
