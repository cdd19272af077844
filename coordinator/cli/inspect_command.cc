#include "coordinator/cli/inspect_command.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/cli/inspect_report.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/machine.h"
#include "coordinator/cli/text_format.h"
#include "engine/base/file.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"

namespace baton {
namespace {

// How far the scan is, where a person sees it.
class ScanBar {
 public:
  ~ScanBar() {
    if (drawn_) std::fputs("\r\x1b[K", stderr);
  }

  void Update(uint64_t bytes_done, uint64_t bytes_total) {
    constexpr std::chrono::milliseconds kRedrawInterval{50};
    constexpr int kColumns = 40;
    const auto now = std::chrono::steady_clock::now();
    if (!on_terminal_ || (drawn_ && now - last_drawn_ < kRedrawInterval)) return;
    drawn_ = true;
    last_drawn_ = now;
    const double share = static_cast<double>(bytes_done) / static_cast<double>(bytes_total);
    const int filled = static_cast<int>(share * kColumns);
    const std::string bar =
        absl::StrCat(std::string(filled, '#'), std::string(kColumns - filled, '.'));
    std::fputs(absl::StrFormat("\rscanning [%s] %3.0f%% of %s\x1b[K", bar, 100 * share,
                               HumanBytes(bytes_total))
                   .c_str(),
               stderr);
  }

 private:
  const bool on_terminal_ = isatty(STDERR_FILENO);
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_drawn_;
};

// All data, with all cores.
absl::Status ScanData(Inspection* inspection) {
  ThreadPool pool(PhysicalCoreCount());
  ScanBar bar;
  const auto progress = [&](uint64_t bytes_done, uint64_t bytes_total) {
    bar.Update(bytes_done, bytes_total);
    return !Interrupted();
  };
  return InspectValues(pool, progress, inspection);
}

}  // namespace

absl::StatusOr<Verdict> RunInspect(const Options& options, Output& output) {
  RETURN_IF_ERROR(RandomAccessFile::Open(options.model).status());
  Inspection inspection = Inspect(options.model);
  if (options.deep) RETURN_IF_ERROR(ScanData(&inspection));
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
