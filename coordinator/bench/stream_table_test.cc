#include "coordinator/bench/stream_table.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using testing::HasSubstr;

StreamResult Result() {
  StreamResult result;
  result.test = {.stream_count = 2, .prompt_tokens = 8, .generated_tokens = 3};
  result.worker_count = 2;
  result.thread_count = 1;
  result.tokens_per_second = 12.345;
  result.first_token_ms = {10, 20};
  result.inter_token_ms = {1, 2, 3, 4};
  result.stages = {{.compute = 0.9, .send_wait = 0.02, .input_wait = 0.08},
                   {.compute = 1.0, .send_wait = 0, .input_wait = 0}};
  return result;
}

TEST(StreamTableTest, HasALinePerResult) {
  StreamTable table(/*json=*/false, {"models/tiny.gguf", "1 MiB", 1 << 20});
  const std::string first = table.Row(Result());
  EXPECT_THAT(first, HasSubstr("| tiny  |"));
  EXPECT_THAT(first, HasSubstr(" 10.0 / 20.0 |"));
  EXPECT_THAT(first, HasSubstr("| 0: 90 / 8 / 2, 1: 100 / 0 / 0"));
  const std::string second = table.Row(Result());
  EXPECT_EQ(std::count(second.begin(), second.end(), '\n'), 1);
  EXPECT_EQ(table.Footer(), "");
}

TEST(StreamTableTest, JsonHasNumbers) {
  StreamTable table(/*json=*/true, {"models/tiny.gguf", "1 MiB", 1 << 20});
  EXPECT_EQ(table.Row(Result()), "");
  const auto list = nlohmann::json::parse(table.Footer());
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["n_concurrency"], 2);
  EXPECT_EQ(list[0]["avg_ts"], 12.345);
  EXPECT_EQ(list[0]["inter_token_ms"]["p99"], 4);
  EXPECT_EQ(list[0]["stages"][0]["compute_share"], 0.9);
}

}  // namespace
}  // namespace baton
