#include "coordinator/cli/open_model.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/cli/console.h"
#include "coordinator/cli/plan_report.h"
#include "coordinator/cli/text_format.h"
#include "engine/base/status_macros.h"

namespace baton {

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenTokenizer(const GgufFile& file) {
  ASSIGN_OR_RETURN(auto tokenizer, Tokenizer::Create(file));
  if (tokenizer->lacks_pre_tokenizer()) {
    Say(absl::StrCat("warning: ", OneLine(file.path()),
                     " does not name its pre-tokenizer; the default one may not be the model's"));
  }
  return tokenizer;
}

absl::StatusOr<std::unique_ptr<Deployment>> Load(const Options& options, const PlannedModel& model,
                                                 const std::function<void(double)>& on_progress) {
  std::fputs(PlanTable(model.plan, model.cache_groups, model.workers).c_str(), stderr);
  ASSIGN_OR_RETURN(auto deployment, Deployment::Start(options, model, on_progress));
  Say(absl::StrFormat("loaded in %.2f s", deployment->load_ms() / 1000));
  return deployment;
}

}  // namespace baton
