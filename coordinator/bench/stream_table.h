// Results of `coordinator bench --concurrency` for people and scripts.
#ifndef BATON_COORDINATOR_BENCH_STREAM_TABLE_H_
#define BATON_COORDINATOR_BENCH_STREAM_TABLE_H_

#include <string>

#include "coordinator/bench/bench_table.h"
#include "coordinator/bench/stream_bench.h"
#include "nlohmann/json.hpp"

namespace baton {

// A line as soon as there is a result; of JSON all at the end. REQUIRES: a token of every stream.
class StreamTable {
 public:
  StreamTable(bool json, BenchModel model);

  std::string Row(const StreamResult& result);
  std::string Footer() const;

 private:
  const bool json_;
  const BenchModel model_;
  const MarkdownTable table_;
  bool has_header_ = false;
  nlohmann::ordered_json list_ = nlohmann::ordered_json::array();
};

}  // namespace baton

#endif  // BATON_COORDINATOR_BENCH_STREAM_TABLE_H_
