#include "coordinator/bench/stream_table.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace baton {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kHigh = 0.99;

std::string PercentilesText(const std::vector<double>& ms) {
  if (ms.empty()) return "-";
  return absl::StrFormat("%.1f / %.1f", Percentile(ms, 0.5), Percentile(ms, kHigh));
}

Json PercentilesJson(const std::vector<double>& ms) {
  if (ms.empty()) return nullptr;
  return {{"p50", Percentile(ms, 0.5)}, {"p99", Percentile(ms, kHigh)}};
}

// "0: 97 / 3 / 0", of each stage.
std::string SharesText(const std::vector<StageShares>& stages) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < stages.size(); ++i) {
    texts.push_back(absl::StrFormat("%d: %.0f / %.0f / %.0f", i, 100 * stages[i].compute,
                                    100 * stages[i].input_wait, 100 * stages[i].send_wait));
  }
  return absl::StrJoin(texts, ", ");
}

Json ResultJson(const BenchModel& model, const StreamResult& result) {
  Json stages = Json::array();
  for (const StageShares& stage : result.stages) {
    stages.push_back({{"compute_share", stage.compute},
                      {"input_wait_share", stage.input_wait},
                      {"send_wait_share", stage.send_wait}});
  }
  Json object = {{"model_filename", model.path},
                 {"model_size", model.tensor_bytes},
                 {"n_concurrency", result.test.stream_count},
                 {"n_prompt", result.test.prompt_tokens},
                 {"n_gen", result.test.generated_tokens}};
  if (result.thread_count.has_value()) object["n_threads"] = *result.thread_count;
  object["n_workers"] = result.worker_count;
  object["avg_ts"] = result.tokens_per_second;
  object["first_token_ms"] = PercentilesJson(result.first_token_ms);
  object["inter_token_ms"] = PercentilesJson(result.inter_token_ms);
  object["stages"] = std::move(stages);
  return object;
}

}  // namespace

StreamTable::StreamTable(bool json, BenchModel model)
    : json_(json),
      model_(std::move(model)),
      table_({{"model", false, CharacterCount(ModelName(model_.path))},
              {"workers", true},
              {"threads", true},
              {"streams", true},
              {"prompt", true},
              {"tokens", true},
              {"t/s", true, 7},
              {"first token ms, p50 / p99", true},
              {"between tokens ms", true},
              {"% computing / waiting for input / to send", false}}) {}

std::string StreamTable::Row(const StreamResult& result) {
  if (json_) {
    list_.push_back(ResultJson(model_, result));
    return "";
  }
  const std::string header = std::exchange(has_header_, true) ? "" : table_.Header();
  const auto number = [](int value) { return absl::StrCat(value); };
  return header + table_.Line({ModelName(model_.path), number(result.worker_count),
                               result.thread_count.has_value() ? number(*result.thread_count) : "-",
                               number(result.test.stream_count), number(result.test.prompt_tokens),
                               number(result.test.generated_tokens),
                               absl::StrFormat("%.1f", result.tokens_per_second),
                               PercentilesText(result.first_token_ms),
                               PercentilesText(result.inter_token_ms), SharesText(result.stages)});
}

std::string StreamTable::Footer() const {
  if (!json_) return "";
  return list_.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace baton
