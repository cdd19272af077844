// The whole command line with stages in this process; worker processes are tests/e2e's.
#include "coordinator/cli/run_main.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "engine/testing/model_maker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace baton {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::string>;

constexpr int kVocabulary = 320;
constexpr int kContext = 64;

struct Outcome {
  int exit_code;
  std::string out;
  std::string err;
};

Outcome RunWords(const Words& words) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int exit_code = RunMain(words);
  const std::string err = testing::internal::GetCapturedStderr();
  return {exit_code, testing::internal::GetCapturedStdout(), err};
}

class RunMainTest : public testing::Test {
 protected:
  void SetUp() override {
    unsetenv("BUILD_WORKING_DIRECTORY");
    ModelOptions options;
    options.vocabulary_size = kVocabulary;
    options.context_length = kContext;
    options.layer_count = 3;
    const absl::StatusOr<std::string> path = MakeModel(options, testing::TempDir());
    ASSERT_TRUE(path.ok()) << path.status();
    model_ = *path;
  }

  // With this model, everything in this process.
  Outcome RunModel(Words words) {
    words.insert(words.begin(), {"-m", model_, "--workers", "0", "-t", "1"});
    return RunWords(words);
  }

  nlohmann::json RunJson(Words words) {
    words.push_back("--json");
    const Outcome outcome = RunModel(words);
    EXPECT_EQ(outcome.exit_code, kExitOk) << outcome.err;
    return nlohmann::json::parse(outcome.out);
  }

  void ExpectError(const Outcome& outcome, int exit_code, const std::string& name) {
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    const size_t at = outcome.err.rfind("error: ");
    ASSERT_NE(at, std::string::npos) << outcome.err;
    const std::string line = outcome.err.substr(at);
    EXPECT_THAT(line, HasSubstr(name));
    EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
  }

  std::string model_;
};

TEST_F(RunMainTest, AnswersAsOneJsonObject) {
  const nlohmann::json answer =
      RunJson({"--ids", "11,12,13", "-n", "5", "--temp", "0", "--ignore-eos", "--logprobs", "2"});
  EXPECT_EQ(answer.at("prompt_ids"), nlohmann::json({11, 12, 13}));
  EXPECT_EQ(answer.at("ids").size(), 5u);
  EXPECT_EQ(answer.at("finish_reason"), "length");
  EXPECT_EQ(answer.at("logprobs").size(), 5u);
  EXPECT_EQ(answer.at("logprobs")[0].at("top")[0][0], answer.at("ids")[0]);
  EXPECT_EQ(answer.at("plan").size(), 1u);
  EXPECT_GT(answer.at("plan")[0].at("read_bytes"), 0);
  EXPECT_EQ(answer.at("timings").at("generated_tokens"), 5);
}

TEST_F(RunMainTest, TextIsAllOfStdout) {
  const Words words = {"-p", "hello", "-n", "6", "--seed", "3"};
  const Outcome outcome = RunModel(words);
  EXPECT_EQ(outcome.exit_code, kExitOk) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("in process"));
  EXPECT_THAT(outcome.err, HasSubstr("tok/s"));
  // JSON is UTF-8, which a random model's text need not be.
  if (outcome.out.find_first_not_of("abcdefghijklmnopqrstuvwxyz ") == std::string::npos) {
    EXPECT_EQ(RunJson(words).at("text"), outcome.out);
  }
}

TEST_F(RunMainTest, StagesAndChunksGiveTheSameLogits) {
  const std::string path = testing::TempDir() + "/logits";
  const auto logits = [&](const Words& more) {
    Words words = {"--ids", "11,12,13,14,15,16,17", "-n",       "4", "--temp",
                   "0",     "--ignore-eos",         "--logits", path};
    words.insert(words.end(), more.begin(), more.end());
    EXPECT_EQ(RunModel(words).exit_code, kExitOk);
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string whole = logits({});
  EXPECT_EQ(whole.size(), 4 * kVocabulary * sizeof(float));
  EXPECT_EQ(logits({"--stages", "3"}), whole);
  EXPECT_EQ(logits({"--stages", "2", "--prompt-chunk", "2"}), whole);
}

TEST_F(RunMainTest, TheContextsEndIsALength) {
  const nlohmann::json answer = RunJson({"--ids", "11,12", "--ignore-eos", "-c", "10"});
  EXPECT_EQ(answer.at("ids").size(), 9u);
  EXPECT_EQ(answer.at("finish_reason"), "length");
  EXPECT_TRUE(RunJson({"--ids", "11", "-n", "0"}).at("ids").empty());
}

TEST_F(RunMainTest, TellsErrorsInOneLine) {
  ExpectError(RunModel({"--ids", "11,12,13", "-c", "2"}), kExitError, "3 tokens");
  ExpectError(RunModel({"-p", "x", "-c", "65"}), kExitError, "64");
  ExpectError(RunModel({"--ids", "320"}), kExitError, "0 to 319");
  ExpectError(RunModel({"-p", "x", "--logit-bias", "320+1"}), kExitError, "320");
  ExpectError(RunModel({"-f", "/nowhere"}), kExitError, "/nowhere");
  ExpectError(RunModel({"-p", "x", "--logits", "/nowhere/logits"}), kExitError, "/nowhere/logits");
  ExpectError(RunModel({"-p", "x", "--stages", "4"}), kExitError, "3 layers");
  ExpectError(RunModel({"-p", "x", "--layers", "0-1"}), kExitError, "layer");
  ExpectError(RunModel({"--chat", "-p", "x"}), kExitError, "chat_template");
  ExpectError(RunWords({"-m", "/nowhere\n", "-p", "x"}), kExitError, "/nowhere");
  ExpectError(RunModel({"-p", "x", "-n", "many"}), kExitUsage, "many");
  ExpectError(RunWords({}), kExitUsage, "--model");
}

TEST_F(RunMainTest, MoreWorkersThanLayersIsToldBeforeAnythingStarts) {
  const Outcome outcome = RunWords({"-m", model_, "--workers", "4", "-p", "x"});
  ExpectError(outcome, kExitError, "4 workers");
  EXPECT_EQ(outcome.err.find("error: "), 0u) << outcome.err;
}

TEST_F(RunMainTest, PrintsThePlan) {
  EXPECT_THAT(RunModel({"--plan-only", "--stages", "2"}).out, HasSubstr("embedding"));
  const nlohmann::json json = RunJson({"--plan-only", "--stages", "3"});
  EXPECT_EQ(json.at("plan").size(), 3u);
  EXPECT_EQ(json.at("plan")[2].at("last_layer"), 2);
}

TEST_F(RunMainTest, Tokenizes) {
  EXPECT_EQ(RunWords({"tokenize", "-m", model_, "-p", ""}).out, "[]\n");
  const Outcome with_bos = RunWords({"tokenize", "-m", model_, "-p", "hello"});
  const Outcome without = RunWords({"tokenize", "-m", model_, "-p", "hello", "--no-bos"});
  const nlohmann::json ids = nlohmann::json::parse(with_bos.out);
  EXPECT_EQ(ids, RunJson({"-p", "hello", "-n", "0"}).at("prompt_ids"));
  EXPECT_LE(nlohmann::json::parse(without.out).size(), ids.size());
}

TEST_F(RunMainTest, MeasuresPerplexity) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "words and words ";
  const auto measure = [&](const Words& more) {
    Words words = {"perplexity", "-m", model_, "--workers", "0", "-c", "32", "-p", text};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = RunWords(words);
    EXPECT_EQ(outcome.exit_code, kExitOk) << outcome.err;
    return outcome.out;
  };
  EXPECT_THAT(measure({}), testing::MatchesRegex("perplexity [0-9.]+ \\+/- [0-9.]+ over [0-9]+ "
                                                 "tokens\n"));
  const std::string json = measure({"--json"});
  EXPECT_EQ(nlohmann::json::parse(json).at("tokens").get<int>() % 15, 0);
  EXPECT_EQ(measure({"--json", "--stages", "3", "--prompt-chunk", "5"}), json);
  ExpectError(RunWords({"perplexity", "-m", model_, "--workers", "0", "-p", "x"}), kExitError,
              "64");
}

TEST_F(RunMainTest, Benchmarks) {
  const Words base = {"bench", "-m", model_, "--workers", "0", "-t", "1", "-r", "1"};
  const auto bench = [&](const Words& more) {
    Words words = base;
    words.insert(words.end(), more.begin(), more.end());
    return RunWords(words);
  };
  const Outcome outcome = bench({"-p", "16", "-n", "4", "-b", "1,3", "-d", "0,8", "-o", "json"});
  ASSERT_EQ(outcome.exit_code, kExitOk) << outcome.err;
  const nlohmann::json list = nlohmann::json::parse(outcome.out);
  ASSERT_EQ(list.size(), 8u);
  EXPECT_EQ(list[0].at("n_prompt"), 16);
  EXPECT_EQ(list[7].at("n_gen"), 4);
  EXPECT_EQ(list[7].at("n_batch_seqs"), 3);
  EXPECT_EQ(list[7].at("n_depth"), 8);
  EXPECT_EQ(list[7].at("n_threads"), 1);
  EXPECT_EQ(list[7].at("n_workers"), 0);
  for (const nlohmann::json& test : list) EXPECT_GT(test.at("avg_ts"), 0);
  EXPECT_GT(list[1].at("limit_value"), 0);

  const std::string table = bench({"-p", "8", "-n", "0", "-t", "1,2"}).out;
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 4) << table;
  EXPECT_THAT(table, HasSubstr("| pp8"));
  EXPECT_THAT(bench({"-p", "8", "-n", "0", "-o", "csv"}).out, HasSubstr("model_filename,"));
  EXPECT_EQ(bench({"-p", "8", "-n", "2", "--stages", "3"}).exit_code, kExitOk);

  ExpectError(bench({"-p", "65"}), kExitError, "test pp65 needs a context of 65 tokens");
  ExpectError(bench({"-b", "8192", "-n", "64", "-p", "0", "-d", "9"}), kExitError, "73 tokens");
  ExpectError(bench({"-p", "0", "-n", "0"}), kExitUsage, "-p and -n");
  ExpectError(bench({"-p", "8,many"}), kExitUsage, "many");
  ExpectError(bench({"-o", "xml"}), kExitUsage, "xml");
  ExpectError(RunWords({"bench", "-m", model_, "--workers", "a:1", "-t", "2"}), kExitUsage, "-t");
}

TEST_F(RunMainTest, InspectionIsAnExitCode) {
  const Outcome sound = RunWords({"inspect", model_});
  EXPECT_EQ(sound.exit_code, kExitOk) << sound.err;
  EXPECT_THAT(sound.out, testing::EndsWith("\nverdict: sound\n"));
  EXPECT_EQ(sound.err, "");

  const std::string broken = testing::TempDir() + "/broken.gguf";
  std::ifstream whole(model_, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(whole), {}};
  std::ofstream(broken, std::ios::binary) << bytes.substr(0, bytes.size() - 100);
  const Outcome cut = RunWords({"inspect", broken, "--json"});
  EXPECT_EQ(cut.exit_code, kExitError);
  EXPECT_EQ(nlohmann::json::parse(cut.out)["verdict"], "broken");
  EXPECT_THAT(cut.err, testing::StartsWith("error: " + broken + ": "));

  std::string infinite = bytes;
  infinite.replace(infinite.size() - 4, 4, std::string("\x00\x00\x80\x7f", 4));
  std::ofstream(broken, std::ios::binary) << infinite;
  EXPECT_EQ(RunWords({"inspect", broken}).exit_code, kExitOk);
  const Outcome deep = RunWords({"inspect", "--deep", broken});
  EXPECT_EQ(deep.exit_code, kExitError);
  EXPECT_THAT(deep.out, HasSubstr("of the file: weight is inf, expected a finite number\n"));

  std::string unknown = bytes;
  unknown.replace(unknown.find("llama"), 5, "other");
  std::ofstream(broken, std::ios::binary) << unknown;
  EXPECT_EQ(RunWords({"inspect", broken}).exit_code, kExitUnknown);
  EXPECT_EQ(RunWords({"inspect", "/absent.gguf"}).exit_code, kExitError);
}

}  // namespace
}  // namespace baton
