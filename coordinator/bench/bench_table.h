// Results of `coordinator bench` for people, spreadsheets and scripts.
#ifndef BATON_COORDINATOR_BENCH_BENCH_TABLE_H_
#define BATON_COORDINATOR_BENCH_BENCH_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "coordinator/bench/markdown_table.h"
#include "coordinator/bench/measurement.h"
#include "nlohmann/json.hpp"

namespace baton {

enum class BenchFormat { kMarkdown, kCsv, kJson };

struct BenchModel {
  std::string path;
  std::string size_text;      // for people
  uint64_t tensor_bytes = 0;  // in the file
};

// "models/tiny.Q4_0.gguf" is called "tiny.Q4_0".
std::string ModelName(const std::string& path);

// Text in pieces: a row as soon as there is a result, and what ends them; each may be empty.
class BenchTable {
 public:
  // `tests`: all that are to come, for the width of the columns.
  BenchTable(BenchFormat format, BenchModel model, const std::vector<BenchTest>& tests);

  // The first one comes with the header.
  std::string Row(const BenchResult& result);
  std::string Footer() const;

  // The fields of llama-bench where the meaning is the same; those of a limit are left out where
  // none was measured, and n_threads where workers elsewhere have their own.
  static nlohmann::ordered_json ResultJson(const BenchModel& model, const BenchResult& result);

 private:
  std::string Header() const;
  std::vector<std::string> MarkdownCells(const BenchResult& result) const;

  const BenchFormat format_;
  const BenchModel model_;
  const MarkdownTable table_;
  bool has_header_ = false;
  nlohmann::ordered_json list_ = nlohmann::ordered_json::array();
};

}  // namespace baton

#endif  // BATON_COORDINATOR_BENCH_BENCH_TABLE_H_
