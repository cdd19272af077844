#include "coordinator/cli/inspect_report.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/cli/text_format.h"
#include "engine/base/number_text.h"

namespace baton {
namespace {

using Json = nlohmann::ordered_json;

// Problems of one kind that the text has; more are alike, and --json has them all.
constexpr size_t kMaxLinesPerKind = 5;
constexpr int kLabelColumns = 14;

std::string Row(absl::string_view label, absl::string_view value) {
  return absl::StrFormat("%-*s%s\n", kLabelColumns, label, value);
}

const char* VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSound:
      return "sound";
    case Verdict::kBroken:
      return "broken";
    case Verdict::kUnknown:
      break;
  }
  return "unknown";
}

bool IsVocabulary(const Inspection& inspection) {
  return inspection.file && inspection.file->tensors().empty();
}

std::string Text(const GgufFile& file, absl::string_view key) {
  const absl::StatusOr<std::optional<std::string>> value = file.GetString(key);
  return value.ok() ? OneLine(value->value_or("")) : "";
}

// The integers of a key: none, one, or one for each layer.
std::vector<int64_t> Integers(const GgufFile& file, absl::string_view key) {
  const absl::StatusOr<std::optional<std::vector<int64_t>>> values = file.GetIntegers(key);
  return values.ok() ? values->value_or(std::vector<int64_t>()) : std::vector<int64_t>();
}

// "22", or "4 to 8" where layers differ; empty where there is no such key.
std::string Range(const std::vector<int64_t>& values) {
  if (values.empty()) return "";
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return *least == *most ? absl::StrCat(*least) : absl::StrCat(*least, " to ", *most);
}

// The same for every architecture: also one that cannot be run can be described.
std::string ArchitectureText(const GgufFile& file) {
  const std::string architecture = Text(file, "general.architecture");
  std::vector<std::string> parts = {architecture.empty() ? "none" : architecture};
  const auto add = [&](absl::string_view format_before, absl::string_view key,
                       absl::string_view format_after) {
    const std::string value = Range(Integers(file, absl::StrCat(architecture, ".", key)));
    if (!value.empty()) parts.push_back(absl::StrCat(format_before, value, format_after));
  };
  add("", "block_count", " layers");
  add("width ", "embedding_length", "");
  add("", "attention.head_count", " heads");
  add("", "attention.head_count_kv", " KV heads");
  add("feed-forward ", "feed_forward_length", "");
  add("", "expert_count", " experts");
  add("", "expert_used_count", " used");
  add("context ", "context_length", "");
  return absl::StrJoin(parts, ", ");
}

// `BOS 1 "<s>"`, or nothing.
std::string SpecialToken(const GgufFile& file, absl::string_view label, absl::string_view key) {
  const std::vector<int64_t> id = Integers(file, key);
  const absl::StatusOr<const std::vector<std::string>*> tokens =
      file.GetStrings("tokenizer.ggml.tokens");
  if (id.size() != 1 || !tokens.ok() || *tokens == nullptr) return "";
  if (id[0] < 0 || id[0] >= static_cast<int64_t>((*tokens)->size())) {
    return absl::StrCat(", ", label, " ", id[0]);
  }
  return absl::StrCat(", ", label, " ", id[0], " \"", OneLine((**tokens)[id[0]]), "\"");
}

uint64_t TokenCount(const GgufFile& file) {
  const GgufValue* tokens = file.FindValue("tokenizer.ggml.tokens");
  return tokens == nullptr || !tokens->is_array ? 0 : tokens->size();
}

std::string TokenizerText(const GgufFile& file) {
  const std::string model = Text(file, "tokenizer.ggml.model");
  if (model.empty()) return "none";
  const std::string pre = Text(file, "tokenizer.ggml.pre");
  return absl::StrCat(model, pre.empty() ? "" : absl::StrCat(" (", pre, ")"), ", ",
                      WithThousands(TokenCount(file)), " tokens",
                      SpecialToken(file, "BOS", "tokenizer.ggml.bos_token_id"),
                      SpecialToken(file, "EOS", "tokenizer.ggml.eos_token_id"));
}

std::string ChatText(const Inspection& inspection) {
  if (!inspection.chat_family.empty()) return inspection.chat_family;
  return inspection.file->Has("tokenizer.chat_template") ? "not recognised" : "none";
}

double BitsPerParameter(const Inspection& inspection) {
  uint64_t bytes = 0;
  for (const TypeTotal& total : inspection.TypeTotals()) bytes += total.bytes;
  return 8.0 * static_cast<double>(bytes) / static_cast<double>(inspection.parameter_count());
}

std::string FileText(const Inspection& inspection) {
  const GgufFile& file = *inspection.file;
  const int shards = file.shard_count();
  return absl::StrCat(OneLine(inspection.path), ", ", HumanBytes(inspection.file_bytes()),
                      shards > 1 ? absl::StrCat(" in ", shards, " files") : "", ", GGUF version ",
                      file.version());
}

// The values of all tensors together; nothing where nobody has looked at them.
std::string ValuesText(const Inspection& inspection) {
  std::optional<ValueStatistics> all;
  for (const ValueStatistics& values : inspection.values) {
    if (values.sampled_count == 0) continue;
    if (!all) all = values;
    all->least = std::min(all->least, values.least);
    all->most = std::max(all->most, values.most);
  }
  if (!all) return "";
  return absl::StrFormat("%.4g to %.4g%s", all->least, all->most,
                         inspection.problems.Has(ProblemKind::kValue) ? "" : ", all finite");
}

std::string Summary(const Inspection& inspection) {
  const GgufFile& file = *inspection.file;
  std::string text = Row("file", FileText(inspection));
  const std::string name = Text(file, "general.name");
  if (!name.empty()) absl::StrAppend(&text, Row("name", name));
  absl::StrAppend(&text, Row("architecture", ArchitectureText(file)));
  if (!IsVocabulary(inspection)) {
    absl::StrAppend(
        &text, Row("parameters",
                   absl::StrFormat("%s at %.2f bits", WithThousands(inspection.parameter_count()),
                                   BitsPerParameter(inspection))));
  }
  absl::StrAppend(&text, Row("tokenizer", TokenizerText(file)));
  absl::StrAppend(&text, Row("chat template", ChatText(inspection)));
  const std::string values = ValuesText(inspection);
  if (!values.empty()) absl::StrAppend(&text, Row("values", values));
  return text;
}

std::string TypeTable(const Inspection& inspection) {
  const std::vector<TypeTotal> totals = inspection.TypeTotals();
  if (totals.empty()) return "";
  uint64_t all_bytes = 0;
  for (const TypeTotal& total : totals) all_bytes += total.bytes;
  std::vector<std::vector<std::string>> rows = {{"type", "tensors", "parameters", "size", "share"}};
  for (const TypeTotal& total : totals) {
    const double share = 100.0 * static_cast<double>(total.bytes) / static_cast<double>(all_bytes);
    rows.push_back({TraitsOf(total.type).name, absl::StrCat(total.tensor_count),
                    WithThousands(total.elements), HumanBytes(total.bytes),
                    absl::StrFormat("%.1f%%", share)});
  }
  return "\n" + AlignColumns(rows, /*left_columns=*/1);
}

// Of the weights that were looked at, the share of blocks that are all zeros.
double ZeroShare(const TensorInfo& tensor, const ValueStatistics& values) {
  const double blocks = static_cast<double>(values.sampled_count) /
                        static_cast<double>(TraitsOf(tensor.type).block_elements);
  return static_cast<double>(values.zero_blocks) / blocks;
}

std::vector<std::string> ValueCells(const TensorInfo& tensor, const ValueStatistics& values) {
  if (values.sampled_count == 0) return {"-", "-", "-", "-"};
  return {absl::StrFormat("%.4g", values.least), absl::StrFormat("%.4g", values.most),
          absl::StrFormat("%.4g", values.root_mean_square),
          absl::StrFormat("%.3g%%", 100 * ZeroShare(tensor, values))};
}

std::string TensorTable(const Inspection& inspection) {
  const GgufFile& file = *inspection.file;
  const bool is_sharded = file.shard_count() > 1;
  std::vector<std::vector<std::string>> rows = {{"tensor", "type", "shape", "offset", "bytes"}};
  const bool has_values = !inspection.values.empty();
  if (is_sharded) rows[0].push_back("part");
  if (has_values) rows[0].insert(rows[0].end(), {"least", "most", "rms", "zero"});
  for (size_t t = 0; t < file.tensors().size(); ++t) {
    const TensorInfo& tensor = file.tensors()[t];
    rows.push_back({tensor.name, TraitsOf(tensor.type).name, tensor.ShapeText(),
                    absl::StrCat(tensor.offset), absl::StrCat(tensor.bytes)});
    if (is_sharded) rows.back().push_back(absl::StrCat(tensor.shard + 1));
    if (!has_values) continue;
    const std::vector<std::string> cells = ValueCells(tensor, inspection.values[t]);
    rows.back().insert(rows.back().end(), cells.begin(), cells.end());
  }
  return "\n" + AlignColumns(rows, /*left_columns=*/3);
}

const char* SeverityLabel(Severity severity) {
  switch (severity) {
    case Severity::kNote:
      return "note: ";
    case Severity::kUnknown:
      return "unknown: ";
    case Severity::kBroken:
      break;
  }
  return "problem: ";
}

std::string ProblemLines(const ProblemList& problems) {
  std::string lines;
  std::map<std::pair<Severity, ProblemKind>, size_t> counts;
  for (const Problem& problem : problems.problems()) {
    if (++counts[{problem.severity, problem.kind}] > kMaxLinesPerKind) continue;
    absl::StrAppend(&lines, SeverityLabel(problem.severity), OneLine(problem.status.message()),
                    "\n");
  }
  for (const auto& [key, count] : counts) {
    if (count <= kMaxLinesPerKind) continue;
    absl::StrAppend(&lines, SeverityLabel(key.first), count - kMaxLinesPerKind, " more like the ",
                    ProblemKindName(key.second), " ones above (--json lists them)\n");
  }
  return lines.empty() ? "" : "\n" + lines;
}

size_t CountSeverity(const ProblemList& problems, Severity severity) {
  return std::count_if(problems.problems().begin(), problems.problems().end(),
                       [severity](const Problem& problem) { return problem.severity == severity; });
}

std::string VerdictLine(const Inspection& inspection) {
  switch (inspection.verdict()) {
    case Verdict::kSound:
      return IsVocabulary(inspection) ? "verdict: sound, a vocabulary alone\n" : "verdict: sound\n";
    case Verdict::kUnknown:
      return "verdict: unknown, sound as far as understood\n";
    case Verdict::kBroken:
      break;
  }
  const size_t count =
      CountSeverity(inspection.problems, Severity::kBroken) + inspection.problems.dropped_count();
  return absl::StrCat("verdict: broken, ", count, count == 1 ? " problem\n" : " problems\n");
}

Json ProblemsJson(const ProblemList& problems, bool notes) {
  Json list = Json::array();
  for (const Problem& problem : problems.problems()) {
    if ((problem.severity == Severity::kNote) != notes) continue;
    Json object = {{"kind", ProblemKindName(problem.kind)}};
    if (!notes) object["is_unknown"] = problem.severity == Severity::kUnknown;
    if (!problem.tensor.empty()) object["tensor"] = problem.tensor;
    if (problem.offset) object["offset"] = *problem.offset;
    object["message"] = std::string(problem.status.message());
    list.push_back(std::move(object));
  }
  return list;
}

Json TypesJson(const Inspection& inspection) {
  Json list = Json::array();
  for (const TypeTotal& total : inspection.TypeTotals()) {
    list.push_back({{"type", TraitsOf(total.type).name},
                    {"tensors", total.tensor_count},
                    {"parameters", total.elements},
                    {"bytes", total.bytes}});
  }
  return list;
}

Json ValuesJson(const ValueStatistics& values) {
  return {{"least", values.least},
          {"most", values.most},
          {"rms", values.root_mean_square},
          {"zero_blocks", values.zero_blocks},
          {"sampled", values.sampled_count}};
}

Json TensorsJson(const Inspection& inspection) {
  Json list = Json::array();
  for (size_t t = 0; t < inspection.file->tensors().size(); ++t) {
    const TensorInfo& tensor = inspection.file->tensors()[t];
    Json object = {{"name", tensor.name}, {"type", TraitsOf(tensor.type).name}};
    object["shape"] =
        std::vector<uint64_t>(tensor.dims.begin(), tensor.dims.begin() + tensor.dim_count);
    object["offset"] = tensor.offset;
    object["bytes"] = tensor.bytes;
    if (inspection.file->shard_count() > 1) object["shard"] = tensor.shard;
    if (!inspection.values.empty() && inspection.values[t].sampled_count > 0) {
      object["values"] = ValuesJson(inspection.values[t]);
    }
    list.push_back(std::move(object));
  }
  return list;
}

// What the model's own keys say, as far as they are there.
Json ShapeJson(const GgufFile& file, const std::string& architecture) {
  Json object = Json::object();
  for (const char* key :
       {"block_count", "embedding_length", "attention.head_count", "attention.head_count_kv",
        "feed_forward_length", "expert_count", "expert_used_count", "context_length"}) {
    const std::vector<int64_t> values = Integers(file, absl::StrCat(architecture, ".", key));
    if (values.size() == 1) object[key] = values[0];
    if (values.size() > 1) object[key] = values;
  }
  return object;
}

Json TokenizerJson(const GgufFile& file) {
  return {{"model", Text(file, "tokenizer.ggml.model")},
          {"pre", Text(file, "tokenizer.ggml.pre")},
          {"tokens", TokenCount(file)}};
}

}  // namespace

std::string InspectionText(const Inspection& inspection, bool list_tensors) {
  std::string text;
  if (inspection.file) {
    absl::StrAppend(&text, Summary(inspection), TypeTable(inspection));
    if (list_tensors) absl::StrAppend(&text, TensorTable(inspection));
  } else {
    absl::StrAppend(&text, Row("file", OneLine(inspection.path)));
  }
  absl::StrAppend(&text, ProblemLines(inspection.problems), "\n", VerdictLine(inspection));
  return text;
}

Json InspectionJson(const Inspection& inspection) {
  Json json = {{"verdict", VerdictName(inspection.verdict())},
               {"problems", ProblemsJson(inspection.problems, /*notes=*/false)},
               {"notes", ProblemsJson(inspection.problems, /*notes=*/true)},
               {"dropped_problems", inspection.problems.dropped_count()},
               {"file", inspection.path},
               {"architecture", ""},
               {"tensors", Json::array()}};
  if (!inspection.file) return json;
  const GgufFile& file = *inspection.file;
  const std::string architecture = Text(file, "general.architecture");
  json["file_bytes"] = inspection.file_bytes();
  json["shards"] = file.shard_count();
  json["version"] = file.version();
  json["alignment"] = file.alignment();
  json["name"] = Text(file, "general.name");
  json["architecture"] = architecture;
  json["shape"] = ShapeJson(file, architecture);
  json["parameters"] = inspection.parameter_count();
  json["tokenizer"] = TokenizerJson(file);
  json["chat_template"] = ChatText(inspection);
  json["types"] = TypesJson(inspection);
  json["tensors"] = TensorsJson(inspection);
  return json;
}

}  // namespace baton
