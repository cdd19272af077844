#include "coordinator/bench/bench_table.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

const BenchModel kModel = {"some/where/tiny \"q4\".gguf", "607 MiB", 636000000};

BenchResult Prompt() {
  BenchResult result;
  result.test.prompt_tokens = 512;
  result.thread_count = 2;
  result.worker_count = 1;
  result.tokens_per_second = {600, 700, 800};
  result.limit = Limit{LimitKind::kInt8, 2066.4, 0.6549};
  return result;
}

// By workers elsewhere: nothing is known of their hardware.
BenchResult Generation() {
  BenchResult result;
  result.test.generated_tokens = 128;
  result.test.sequence_count = 4;
  result.test.depth = 4096;
  result.worker_count = 3;
  result.tokens_per_second = {50};
  return result;
}

std::string Print(BenchFormat format) {
  BenchTable table(format, kModel, {Prompt().test, Generation().test});
  std::string text = table.Row(Prompt());
  text += table.Row(Generation());
  return text + table.Footer();
}

TEST(BenchTableTest, Markdown) {
  EXPECT_EQ(
      Print(BenchFormat::kMarkdown),
      "| model     |    size | workers | threads | test              |                t/s | limit  "
      "              | share |\n"
      "| --------- | ------: | ------: | ------: | ----------------- | -----------------: | -------"
      "------------- | ----: |\n"
      "| tiny \"q4\" | 607 MiB |       1 |       2 | pp512             |    700.00 ± 100.00 | int8 "
      "2066 Gop/s      |   65% |\n"
      "| tiny \"q4\" | 607 MiB |       3 |       - | tg128 x 4 @ d4096 |       50.00 ± 0.00 | -    "
      " "
      "               |     - |\n");
}

TEST(BenchTableTest, Csv) {
  EXPECT_EQ(Print(BenchFormat::kCsv),
            "model_filename,model_size,n_prompt,n_gen,n_depth,n_batch_seqs,n_threads,n_workers,"
            "avg_ts,stddev_ts,limit,limit_value,limit_share\n"
            "\"some/where/tiny \"\"q4\"\".gguf\",636000000,512,0,0,1,2,1,700.0,100.0,\"int8\","
            "2066.4,0.6549\n"
            "\"some/where/tiny \"\"q4\"\".gguf\",636000000,0,128,4096,4,,3,50.0,0.0,,,\n");
}

TEST(BenchTableTest, Json) {
  const nlohmann::json list = nlohmann::json::parse(Print(BenchFormat::kJson));
  EXPECT_EQ(list.at(0), nlohmann::json::parse(R"({
      "model_filename": "some/where/tiny \"q4\".gguf", "model_size": 636000000,
      "n_prompt": 512, "n_gen": 0, "n_depth": 0, "n_batch_seqs": 1, "n_threads": 2, "n_workers": 1,
      "avg_ts": 700.0, "stddev_ts": 100.0, "samples_ts": [600.0, 700.0, 800.0],
      "limit": "int8", "limit_value": 2066.4, "limit_share": 0.6549})"));
  EXPECT_FALSE(list.at(1).contains("limit"));
  EXPECT_FALSE(list.at(1).contains("n_threads"));
}

}  // namespace
}  // namespace baton
