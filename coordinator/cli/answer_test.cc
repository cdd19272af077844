#include "coordinator/cli/answer.h"

#include <limits>

#include "gtest/gtest.h"

namespace baton {
namespace {

GenerationTimings Timings() {
  GenerationTimings timings;
  timings.prompt_tokens = 100;
  timings.prompt_ms = 500;
  timings.generated_tokens = 11;
  timings.generated_ms = 100;
  timings.decode_stages = {{30.0, 45.5}, 10};
  return timings;
}

TEST(StatisticsTextTest, TellsSpeedAndStages) {
  EXPECT_EQ(StatisticsText(Timings()),
            "prompt      100 tokens, 200.0 tok/s, first token after 500.0 ms\n"
            "generation  11 tokens, 100.0 tok/s\n"
            "stages      ms per token:  0: 3.00  1: 4.55\n");
}

TEST(StatisticsTextTest, SaysNoSpeedOfWhatDidNotRun) {
  GenerationTimings timings = Timings();
  timings.generated_tokens = 1;
  timings.decode_stages = StageTotals();
  EXPECT_EQ(StatisticsText(timings),
            "prompt      100 tokens, 200.0 tok/s, first token after 500.0 ms\n"
            "generation  1 tokens\n");
}

TEST(AnswerJsonTest, HasTheFieldsOfTheContract) {
  Options options;
  options.model = "m.gguf";
  options.top_logprobs = 2;
  Answer answer;
  answer.prompt_ids = {1, 2};
  answer.generation.ids = {3};
  answer.generation.finish_reason = FinishReason::kStop;
  answer.generation.timings = Timings();
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
