#include "coordinator/cli/options.h"

#include <cstdlib>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::string>;

// With a model.
absl::StatusOr<Options> Parse(Words words) {
  words.insert(words.begin(), {"-m", "/m.gguf"});
  return ParseOptions(words);
}

Options MustParse(const Words& words) {
  const absl::StatusOr<Options> options = Parse(words);
  EXPECT_TRUE(options.ok()) << options.status();
  return options.ok() ? *options : Options();
}

std::string ErrorOf(const Words& words) {
  const absl::StatusOr<Options> options = ParseOptions(words);
  EXPECT_FALSE(options.ok());
  if (options.ok()) return "";
  EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(options.status().message());
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  EXPECT_THAT(message, HasSubstr("--help"));
  return message;
}

std::string ModelError(Words words) {
  words.insert(words.begin(), {"-m", "/m.gguf"});
  return ErrorOf(words);
}

TEST(ParseOptionsTest, HasLlamaCppsDefaults) {
  const Options options = MustParse({"-p", "x"});
  EXPECT_EQ(options.command, Command::kComplete);
  EXPECT_EQ(options.model, "/m.gguf");
  EXPECT_EQ(options.local_worker_count, 1);
  EXPECT_EQ(options.max_tokens, -1);
  EXPECT_EQ(options.sampling.temperature, 0.8f);
  EXPECT_EQ(options.sampling.top_k, 40);
  EXPECT_EQ(options.sampling.top_p, 0.95f);
  EXPECT_EQ(options.sampling.min_p, 0.05f);
  EXPECT_EQ(options.sampling.repeat_last_n, 64);
  EXPECT_EQ(options.sampling.repeat_penalty, 1.0f);
  EXPECT_EQ(options.numeric.kv_type, KvType::kF16);
  EXPECT_EQ(options.numeric.activations, ActivationMode::kInt8);
  EXPECT_FALSE(options.context_length.has_value());
  EXPECT_FALSE(options.seed_given);
}

TEST(ParseOptionsTest, ReadsEveryFlag) {
  const Options options = MustParse({"--workers",
                                     "0",
                                     "--stages=3",
                                     "-t",
                                     "2",
                                     "-c",
                                     "128",
                                     "--layers",
                                     "0-1,2-3",
                                     "-n",
                                     "5",
                                     "--temp",
                                     "-1",
                                     "--top-k",
                                     "7",
                                     "--top_p",
                                     "0.5",
                                     "--min-p=0.25",
                                     "--repeat-penalty",
                                     "1.5",
                                     "--presence-penalty",
                                     "-2",
                                     "--frequency_penalty",
                                     "0.5",
                                     "--repeat-last-n",
                                     "-1",
                                     "--seed",
                                     "18446744073709551615",
                                     "--ignore-eos",
                                     "--stop",
                                     "a",
                                     "--stop",
                                     "[b,c]",
                                     "--logit-bias",
                                     "15+2.5",
                                     "--logit-bias",
                                     "16-inf",
                                     "--json",
                                     "--logprobs",
                                     "3",
                                     "--logits",
                                     "/l",
                                     "-ctk",
                                     "q8_0",
                                     "-ctv",
                                     "q8_0",
                                     "--activations",
                                     "f32",
                                     "--isa",
                                     "scalar",
                                     "--prompt-chunk",
                                     "9",
                                     "-p",
                                     "--json"});
  EXPECT_EQ(options.local_worker_count, 0);
  EXPECT_EQ(options.stage_count, 3);
  EXPECT_EQ(options.thread_count, 2);
  EXPECT_EQ(options.context_length, 128);
  EXPECT_EQ(options.layers, "0-1,2-3");
  EXPECT_EQ(options.max_tokens, 5);
  EXPECT_EQ(options.sampling.temperature, -1);
  EXPECT_EQ(options.sampling.top_k, 7);
  EXPECT_EQ(options.sampling.top_p, 0.5f);
  EXPECT_EQ(options.sampling.min_p, 0.25f);
  EXPECT_EQ(options.sampling.repeat_penalty, 1.5f);
  EXPECT_EQ(options.sampling.presence_penalty, -2);
  EXPECT_EQ(options.sampling.frequency_penalty, 0.5f);
  EXPECT_EQ(options.sampling.repeat_last_n, -1);
  EXPECT_EQ(options.sampling.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_TRUE(options.seed_given);
  EXPECT_TRUE(options.ignore_eos);
  EXPECT_EQ(options.stop, (Words{"a", "[b,c]"}));
  ASSERT_EQ(options.logit_bias.size(), 2u);
  EXPECT_EQ(options.logit_bias[0], (std::pair<int32_t, float>(15, 2.5f)));
  EXPECT_EQ(options.logit_bias[1].second, -std::numeric_limits<float>::infinity());
  EXPECT_EQ(options.top_logprobs, 3);
  EXPECT_EQ(options.logits_file, "/l");
  EXPECT_EQ(options.numeric.kv_type, KvType::kQ8_0);
  EXPECT_EQ(options.numeric.activations, ActivationMode::kF32);
  EXPECT_EQ(options.isa, Isa::kScalar);
  EXPECT_EQ(options.prompt_chunk, 9);
  EXPECT_EQ(options.prompt, "--json");
}

TEST(ParseOptionsTest, ReadsSizesOfMemory) {
  EXPECT_FALSE(MustParse({"-p", "x"}).kv_memory_bytes.has_value());
  EXPECT_EQ(MustParse({"-p", "x", "--kv-memory", "4096"}).kv_memory_bytes, 4096u);
  EXPECT_EQ(MustParse({"-p", "x", "--kv-memory", "512M"}).kv_memory_bytes, 512u << 20);
  EXPECT_EQ(MustParse({"-p", "x", "--kv_memory=3g"}).kv_memory_bytes, uint64_t{3} << 30);
}

TEST(ParseOptionsTest, ReadsTheModeOfSpeculation) {
  EXPECT_EQ(MustParse({"-p", "x"}).speculation, Speculation::kAuto);
  EXPECT_EQ(MustParse({"-p", "x", "--speculation", "off"}).speculation, Speculation::kOff);
  EXPECT_EQ(MustParse({"-p", "x", "--speculation", "on"}).speculation, Speculation::kOn);
}

TEST(ParseOptionsTest, APromptIsAnyText) {
  for (const std::string text : {"", "{}", "[a,b]", "-p", "--model", "a b", "=", "%%", "\"q\"",
                                 "'x'", "tokenize", "\n", "--"}) {
    EXPECT_EQ(MustParse({"-p", text}).prompt, text) << text;
    EXPECT_EQ(MustParse({"--prompt=" + text}).prompt, text) << text;
  }
}

TEST(ParseOptionsTest, TheLastOneCounts) {
  EXPECT_EQ(MustParse({"-p", "a", "-n", "1", "--prompt", "b", "--max-tokens", "2"}).prompt, "b");
}

TEST(ParseOptionsTest, ReadsIds) {
  EXPECT_EQ(MustParse({"--ids", "1,2,3"}).ids, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(MustParse({"--ids", "[1, 2, 3]"}).ids, (std::vector<int32_t>{1, 2, 3}));
  for (const std::string bad : {"1,x", "-1", "", "1.5", "99999999999"}) {
    EXPECT_THAT(ModelError({"--ids", bad}), HasSubstr("--ids")) << bad;
  }
}

TEST(ParseOptionsTest, ReadsWorkers) {
  EXPECT_EQ(MustParse({"-p", "x", "--workers", "3"}).local_worker_count, 3);
  const Options options = MustParse({"-p", "x", "--workers", "a:1,b:2"});
  ASSERT_EQ(options.workers.size(), 2u);
  EXPECT_EQ(options.workers[1].address, "b:2");
  EXPECT_EQ(options.local_worker_count, 0);
  for (const std::string bad : {"-1", "99999", "no-port-here,", "a:1,a:1"}) {
    EXPECT_THAT(ModelError({"-p", "x", "--workers", bad}), HasSubstr("workers")) << bad;
  }
  EXPECT_THAT(ModelError({"-p", "x", "--stages", "2"}), HasSubstr("--workers 0"));
}

TEST(ParseOptionsTest, WrongUsageNamesTheFlagAndTheValue) {
  const std::vector<std::pair<Words, std::string>> cases = {
      {{"-p", "x", "--no-such-flag"}, "no-such-flag"},
      {{"-p", "x", "-n", "many"}, "many"},
      {{"-p", "x", "-n", "-2"}, "-2"},
      {{"-p", "x", "-n"}, "max-tokens"},
      {{"-p", "x", "--isa", "mmx"}, "mmx"},
      {{"-p", "x", "--cache-type", "f8"}, "f8"},
      {{"-p", "x", "-ctk", "f16", "-ctv", "f32"}, "one for both"},
      {{"-p", "x", "--activations", "f8"}, "f8"},
      {{"-p", "x", "-t", "0"}, "threads"},
      {{"-p", "x", "-c", "-1"}, "--context"},
      {{"-p", "x", "--prompt-chunk", "0"}, "--prompt-chunk"},
      {{"-p", "x", "--kv-memory", "0"}, "--kv-memory"},
      {{"-p", "x", "--kv-memory", "M"}, "--kv-memory"},
      {{"-p", "x", "--kv-memory", "99999999999G"}, "--kv-memory"},
      {{"-p", "x", "--speculation", "maybe"}, "maybe"},
      {{"-p", "x", "--top-p", "1.5"}, "--top-p"},
      {{"-p", "x", "--temp", "nan"}, "--temp"},
      {{"-p", "x", "--seed", "x"}, "--seed"},
      {{"-p", "x", "--logit-bias", "5"}, "--logit-bias"},
      {{"-p", "x", "--logit-bias", "5+inf"}, "--logit-bias"},
      {{"-p", "x", "--logprobs", "2"}, "--json"},
      {{"-p", "x", "-f", "y"}, "-p and -f"},
      {{"-p", "x", "--ids", "1"}, "-p and --ids"},
      {{"-p", "x", "--system", "y"}, "--chat"},
      {{"--chat", "--ids", "1"}, "--chat"},
      {{"-p", "x", "stray"}, "stray"},
      {{"--json"}, "-p TEXT"},
      {{"--port", "65536"}, "port"},
      {{"--timeout", "0"}, "timeout"},
  };
  for (const auto& [words, name] : cases) EXPECT_THAT(ModelError(words), HasSubstr(name));
  EXPECT_THAT(ErrorOf({}), HasSubstr("--model"));
  EXPECT_THAT(ErrorOf({"tokenize", "-m", "x"}), HasSubstr("coordinator tokenize --help"));
  EXPECT_THAT(ErrorOf({"perplexity", "-m", "x", "-p", "y", "--temp", "0"}), HasSubstr("--temp"));
}

TEST(ParseOptionsTest, WithoutAPromptItServes) {
  const Options options = MustParse({});
  EXPECT_EQ(options.command, Command::kServe);
  EXPECT_EQ(options.host, "127.0.0.1");
  EXPECT_EQ(options.port, 8080);
  const Options given = MustParse({"--host", "::1", "--port", "0", "-a", "tiny", "--timeout", "2.5",
                                   "--chat-template", "chatml"});
  EXPECT_EQ(given.host, "::1");
  EXPECT_EQ(given.port, 0);
  EXPECT_EQ(given.alias, "tiny");
  EXPECT_EQ(given.timeout_s, 2.5);
  EXPECT_EQ(given.chat_template, "chatml");
  EXPECT_EQ(MustParse({"--chat", "-sys", "be kind"}).system, "be kind");
  EXPECT_TRUE(MustParse({"--plan-only"}).plan_only);
}

TEST(ParseOptionsTest, KnowsItsSubcommands) {
  const absl::StatusOr<Options> tokenize =
      ParseOptions({"tokenize", "-m", "/m", "-p", "x", "--no_bos", "--no-special"});
  ASSERT_TRUE(tokenize.ok()) << tokenize.status();
  EXPECT_EQ(tokenize->command, Command::kTokenize);
  EXPECT_FALSE(tokenize->add_special);
  EXPECT_FALSE(tokenize->parse_special);
  const absl::StatusOr<Options> perplexity = ParseOptions(
      {"perplexity", "-m", "/m", "-f", "/t", "-c", "64", "--workers", "2", "-t", "1", "--json"});
  ASSERT_TRUE(perplexity.ok()) << perplexity.status();
  EXPECT_EQ(perplexity->command, Command::kPerplexity);
  EXPECT_EQ(perplexity->context_length, 64);
  EXPECT_EQ(perplexity->file, "/t");
  EXPECT_TRUE(perplexity->json);
}

TEST(OptionsTest, InspectTakesAFile) {
  const absl::StatusOr<Options> options =
      ParseOptions({"inspect", "/a.gguf", "--deep", "--tensors", "--json"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->command, Command::kInspect);
  EXPECT_EQ(options->model, "/a.gguf");
  EXPECT_TRUE(options->deep && options->list_tensors && options->json);
  EXPECT_EQ(ParseOptions({"inspect", "-m", "/a.gguf"})->model, "/a.gguf");
  EXPECT_THAT(ErrorOf({"inspect"}), HasSubstr("expected FILE; see coordinator inspect --help"));
}

TEST(ParseOptionsTest, ClientsOfBench) {
  const auto bench = [](Words words) {
    words.insert(words.begin(), {"bench", "-m", "/m"});
    return ParseOptions(words);
  };
  const absl::StatusOr<Options> options =
      bench({"--concurrency", "1,16", "-p", "32", "-n", "8", "--trace", "/t"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->concurrency, (std::vector<int>{1, 16}));
  EXPECT_EQ(options->trace_file, "/t");
  for (const Words& words :
       {Words{"--trace", "/t"}, Words{"--concurrency", "0"}, Words{"--concurrency", "1", "-b", "2"},
        Words{"--concurrency", "1", "-n", "0"}, Words{"--concurrency", "1", "-o", "csv"}}) {
    EXPECT_FALSE(bench(words).ok());
  }
}

TEST(ParseOptionsTest, HelpShowsWhatPeopleType) {
  const absl::StatusOr<Options> options = ParseOptions({"--help"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->command, Command::kHelp);
  for (const std::string flag : {"-m, --model FILE", "--workers W", "-ctk", "-p, --prompt TEXT",
                                 "--temp", "--json", "perplexity", "tokenize", "Examples:"}) {
    EXPECT_THAT(options->help, HasSubstr(flag));
  }
  const absl::StatusOr<Options> tokenize = ParseOptions({"tokenize", "-h"});
  ASSERT_TRUE(tokenize.ok()) << tokenize.status();
  EXPECT_THAT(tokenize->help, HasSubstr("--no-bos"));
  EXPECT_THAT(tokenize->help, testing::Not(HasSubstr("--temp")));
}

TEST(ParseOptionsTest, ASubcommandIsTheFirstWord) {
  for (const Words& words : {Words{"-m", "m", "bench"}, Words{"--workers", "0", "inspect", "m"},
                             Words{"-m", "m", "perplexity", "-p", "x"},
                             Words{"perplexity", "tokenize", "-m", "m", "-p", "x"}}) {
    EXPECT_THAT(ErrorOf(words), HasSubstr("expected it as the first one")) << words[0];
  }
  EXPECT_EQ(MustParse({"-p", "bench"}).command, Command::kComplete);
}

TEST(ParseOptionsTest, AnEmptyWordIsNoValue) {
  for (const std::string flag : {"--temp", "--top-k", "--seed", "-c", "--layers", "--workers",
                                 "--logits", "--isa", "--kv-memory"}) {
    EXPECT_NE(ErrorOf({"-m", "m", "-p", "x", flag, ""}), "") << flag;
    EXPECT_NE(ErrorOf({"-m", "m", "-p", "x", flag + "="}), "") << flag;
  }
  EXPECT_THAT(ErrorOf({"-m", "m", "-p", "x", "--temp", ""}), HasSubstr("--temp is empty"));
  EXPECT_EQ(MustParse({"--chat", "-sys", "", "-p", ""}).system, "");
}

TEST(ParseOptionsTest, NumbersAreDecimalAndToldWhereTheyAreNone) {
  EXPECT_EQ(MustParse({"-p", "x", "-n", "010"}).max_tokens, 10);
  EXPECT_THAT(ErrorOf({"-m", "m", "-p", "x", "-n", "3.5"}), HasSubstr("'3.5'"));
  for (const std::string bad : {"0", "-1", "nan", "inf", "abc"}) {
    EXPECT_THAT(ErrorOf({"-m", "m", "--timeout", bad}), HasSubstr("seconds, more than 0"));
  }
  EXPECT_EQ(MustParse({"-to", "2.5"}).timeout_s, 2.5);
}

TEST(ParseOptionsTest, KnowsWhatStandsForTheDefault) {
  const Options options = MustParse({"-c", "0", "-t", "-1"});
  EXPECT_FALSE(options.context_length.has_value());
  EXPECT_FALSE(options.thread_count.has_value());
  EXPECT_EQ(MustParse({"-cnv"}).command, Command::kChat);
  const Options stop = MustParse({"-p", "x", "-r", "end", "-l", "5-inf"});
  EXPECT_EQ(stop.stop, (std::vector<std::string>{"end"}));
  EXPECT_EQ(stop.logit_bias.size(), 1u);
}

TEST(ParseOptionsTest, WorkersElsewhereHaveTheirOwnInstructionSet) {
  EXPECT_THAT(ErrorOf({"-m", "m", "--workers", "a:1,b:2", "--isa", "scalar"}),
              HasSubstr("elsewhere"));
}

}  // namespace
}  // namespace baton
