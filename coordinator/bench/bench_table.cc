#include "coordinator/bench/bench_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace baton {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kCsvFields[] = {"model_filename", "model_size",   "n_prompt",  "n_gen",
                                      "n_depth",        "n_batch_seqs", "n_threads", "n_workers",
                                      "avg_ts",         "stddev_ts",    "limit",     "limit_value",
                                      "limit_share"};

MarkdownTable MakeTable(const BenchModel& model, const std::vector<BenchTest>& tests) {
  size_t test_width = 0;
  for (const BenchTest& test : tests) test_width = std::max(test_width, test.Name().size());
  return MarkdownTable({{"model", false, CharacterCount(ModelName(model.path))},
                        {"size", true, CharacterCount(model.size_text)},
                        {"workers", true},
                        {"threads", true},
                        {"test", false, test_width},
                        {"t/s", true, 18},
                        {"limit", false, 20},
                        {"share", true}});
}

std::string CsvField(const Json& object, const char* name) {
  if (!object.contains(name)) return "";
  const Json& value = object.at(name);
  if (!value.is_string()) return value.dump();
  return absl::StrCat("\"", absl::StrReplaceAll(value.get<std::string>(), {{"\"", "\"\""}}), "\"");
}

}  // namespace

std::string ModelName(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  return std::string(absl::StripSuffix(name, ".gguf"));
}

BenchTable::BenchTable(BenchFormat format, BenchModel model, const std::vector<BenchTest>& tests)
    : format_(format), model_(std::move(model)), table_(MakeTable(model_, tests)) {}

std::string BenchTable::Header() const {
  if (format_ == BenchFormat::kJson) return "";
  if (format_ == BenchFormat::kCsv) return absl::StrCat(absl::StrJoin(kCsvFields, ","), "\n");
  return table_.Header();
}

std::string BenchTable::Row(const BenchResult& result) {
  const std::string header = std::exchange(has_header_, true) ? "" : Header();
  if (format_ == BenchFormat::kMarkdown) {
    return absl::StrCat(header, table_.Line(MarkdownCells(result)));
  }
  Json object = ResultJson(model_, result);
  if (format_ == BenchFormat::kJson) {
    list_.push_back(std::move(object));
    return "";
  }
  std::vector<std::string> fields;
  for (const char* name : kCsvFields) fields.push_back(CsvField(object, name));
  return absl::StrCat(header, absl::StrJoin(fields, ","), "\n");
}

std::string BenchTable::Footer() const {
  if (format_ != BenchFormat::kJson) return "";
  return list_.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json BenchTable::ResultJson(const BenchModel& model, const BenchResult& result) {
  Json object = {
      {"model_filename", model.path},          {"model_size", model.tensor_bytes},
      {"n_prompt", result.test.prompt_tokens}, {"n_gen", result.test.generated_tokens},
      {"n_depth", result.test.depth},          {"n_batch_seqs", result.test.sequence_count}};
  if (result.thread_count.has_value()) object["n_threads"] = *result.thread_count;
  object["n_workers"] = result.worker_count;
  object["avg_ts"] = result.Mean();
  object["stddev_ts"] = result.StandardDeviation();
  object["samples_ts"] = result.tokens_per_second;
  if (result.limit.has_value()) {
    object["limit"] = LimitName(result.limit->kind);
    object["limit_value"] = result.limit->value;
    object["limit_share"] = result.limit->share;
  }
  return object;
}

std::vector<std::string> BenchTable::MarkdownCells(const BenchResult& result) const {
  std::string limit = "-", share = "-";
  if (result.limit.has_value()) {
    const bool large = result.limit->value >= 1000;
    limit = absl::StrFormat("%s %.*f %s", LimitName(result.limit->kind), large ? 0 : 1,
                            result.limit->value, LimitUnit(result.limit->kind));
    share = absl::StrFormat("%.0f%%", 100 * result.limit->share);
  }
  return {ModelName(model_.path),
          model_.size_text,
          absl::StrCat(result.worker_count),
          result.thread_count.has_value() ? absl::StrCat(*result.thread_count) : "-",
          result.test.Name(),
          absl::StrFormat("%.2f ± %.2f", result.Mean(), result.StandardDeviation()),
          limit,
          share};
}

}  // namespace baton
