#include "coordinator/cli/inspect_command.h"

#include "absl/strings/str_cat.h"
#include "coordinator/cli/inspect_report.h"
#include "coordinator/cli/text_format.h"
#include "engine/base/file.h"
#include "engine/base/status_macros.h"

namespace baton {
absl::StatusOr<Verdict> RunInspect(const Options& options, Output& output) {
  RETURN_IF_ERROR(RandomAccessFile::Open(options.model).status());
  const Inspection inspection = Inspect(options.model);
  output.Write(options.json ? JsonLine(InspectionJson(inspection))
                            : InspectionText(inspection, options.list_tensors));
  RETURN_IF_ERROR(output.status());
  const Verdict verdict = inspection.verdict();
  if (verdict == Verdict::kBroken) {
    Say(absl::StrCat("error: ", OneLine(options.model), ": ",
                     OneLine(inspection.problems.FirstError().message())));
  }
  return verdict;
}

}  // namespace baton
