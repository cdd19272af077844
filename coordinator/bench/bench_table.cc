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

struct Column {
  const char* name;
  bool is_number;  // to the right
  size_t width;    // at least; the widest figure to be expected
};
constexpr Column kColumns[] = {
    {"model", false, 5}, {"size", true, 4}, {"workers", true, 7}, {"threads", true, 7},
    {"test", false, 4},  {"t/s", true, 18}, {"limit", false, 20}, {"share", true, 5},
};
constexpr const char* kCsvFields[] = {"model_filename", "model_size",   "n_prompt",  "n_gen",
                                      "n_depth",        "n_batch_seqs", "n_threads", "n_workers",
                                      "avg_ts",         "stddev_ts",    "limit",     "limit_value",
                                      "limit_share"};

std::string ModelName(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  return std::string(absl::StripSuffix(name, ".gguf"));
}

// Of UTF-8: continuation bytes take no place.
size_t CharacterCount(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

std::string CsvField(const Json& object, const char* name) {
  if (!object.contains(name)) return "";
  const Json& value = object.at(name);
  if (!value.is_string()) return value.dump();
  return absl::StrCat("\"", absl::StrReplaceAll(value.get<std::string>(), {{"\"", "\"\""}}), "\"");
}

}  // namespace

BenchTable::BenchTable(BenchFormat format, BenchModel model, const std::vector<BenchTest>& tests)
    : format_(format), model_(std::move(model)) {
  for (const Column& column : kColumns) widths_.push_back(column.width);
  widths_[0] = std::max(widths_[0], CharacterCount(ModelName(model_.path)));
  widths_[1] = std::max(widths_[1], CharacterCount(model_.size_text));
  for (const BenchTest& test : tests) widths_[4] = std::max(widths_[4], test.Name().size());
}

std::string BenchTable::Header() const {
  if (format_ == BenchFormat::kJson) return "";
  if (format_ == BenchFormat::kCsv) return absl::StrCat(absl::StrJoin(kCsvFields, ","), "\n");
  std::vector<std::string> names, rules;
  for (size_t i = 0; i < widths_.size(); ++i) {
    names.push_back(kColumns[i].name);
    rules.push_back(std::string(widths_[i], '-'));
    if (kColumns[i].is_number) rules.back().back() = ':';
  }
  return absl::StrCat(MarkdownLine(names), MarkdownLine(rules));
}

std::string BenchTable::Row(const BenchResult& result) {
  const std::string header = std::exchange(has_header_, true) ? "" : Header();
  if (format_ == BenchFormat::kMarkdown) {
    return absl::StrCat(header, MarkdownLine(MarkdownCells(result)));
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

std::string BenchTable::MarkdownLine(const std::vector<std::string>& cells) const {
  std::string line = "|";
  for (size_t i = 0; i < cells.size(); ++i) {
    const size_t taken = CharacterCount(cells[i]);
    const std::string blanks(widths_[i] - std::min(widths_[i], taken), ' ');
    absl::StrAppend(&line, " ", kColumns[i].is_number ? blanks : "", cells[i],
                    kColumns[i].is_number ? "" : blanks, " |");
  }
  return line + "\n";
}

}  // namespace baton
