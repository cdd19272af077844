#include "coordinator/cli/answer.h"

#include <limits>

#include "gtest/gtest.h"

namespace baton {
namespace {

Usage SomeUsage() {
  Usage usage;
  usage.prompt_tokens = 120;
  usage.cached_tokens = 20;
  usage.first_token_ms = 500;
  usage.total_ms = 600;
  usage.generated_tokens = 11;
  usage.decode_stage_ms = {30.0, 45.5};
  usage.decode_steps = 10;
  return usage;
}

TEST(StatisticsTextTest, TellsSpeedAndStages) {
  EXPECT_EQ(StatisticsText(SomeUsage()),
            "prompt      100 tokens, 200.0 tok/s, first token after 500.0 ms\n"
            "generation  11 tokens, 100.0 tok/s\n"
            "stages      ms per token:  0: 3.00  1: 4.55\n");
}

TEST(StatisticsTextTest, SaysNoSpeedOfWhatDidNotRun) {
  Usage usage = SomeUsage();
  usage.generated_tokens = 1;
  usage.decode_steps = 0;
  EXPECT_EQ(StatisticsText(usage),
            "prompt      100 tokens, 200.0 tok/s, first token after 500.0 ms\n"
            "generation  1 tokens\n");
}

TEST(StatisticsTextTest, CountsDraftedTokensThatWereRight) {
  Usage usage = SomeUsage();
  usage.decode_steps = 6;
  usage.drafted_tokens = 7;
  usage.accepted_tokens = 4;
  EXPECT_EQ(StatisticsText(usage),
            "prompt      100 tokens, 200.0 tok/s, first token after 500.0 ms\n"
            "generation  11 tokens, 100.0 tok/s, 4 of 7 drafted tokens right\n"
            "stages      ms per token:  0: 3.00  1: 4.55\n");
}

TEST(AnswerJsonTest, HasTheFieldsOfTheContract) {
  Options options;
  options.model = "m.gguf";
  options.top_logprobs = 2;
  Answer answer;
  answer.prompt_ids = {1, 2};
  answer.completion.ids = {3};
  answer.completion.finish_reason = FinishReason::kStop;
  answer.completion.usage = SomeUsage();
  answer.text = "\xff!";
  answer.samples = {{3, -0.1f, {{3, -0.1f}, {4, -std::numeric_limits<float>::infinity()}}}};
  const nlohmann::ordered_json json =
      AnswerJson(options, answer, nlohmann::ordered_json::array(), 12.5);
  EXPECT_EQ(json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace),
            R"({"model":"m.gguf","prompt_ids":[1,2],"ids":[3],"text":")"
            "\xef\xbf\xbd"
            R"(!","finish_reason":"stop",)"
            R"("logprobs":[{"id":3,"logprob":-0.100000001,"top":[[3,-0.100000001],[4,null]]}],)"
            R"("plan":[],"timings":{"load_ms":12.5,"prompt_tokens":100,"prompt_ms":500.0,)"
            R"("generated_tokens":11,"generated_ms":100.0,"first_token_ms":500.0}})");
}

TEST(AnswerJsonTest, HasLogprobsOnlyWhereAskedFor) {
  const nlohmann::ordered_json json =
      AnswerJson(Options(), Answer(), nlohmann::ordered_json::array(), 0);
  EXPECT_FALSE(json.contains("logprobs"));
  EXPECT_EQ(json.at("finish_reason"), "length");
}

}  // namespace
}  // namespace baton
