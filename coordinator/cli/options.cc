#include "coordinator/cli/options.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "coordinator/cli/arguments.h"
#include "coordinator/scheduler/scheduler.h"
#include "engine/base/status_macros.h"
#include "proto/paths.h"

namespace baton {
namespace {

// Bounds of flags: far above any use, so that a slip of the finger is told and not obeyed.
constexpr int kMaxThreads = 1024;
constexpr int kMaxLocalWorkers = 1024;
constexpr int32_t kMaxLogprobs = 1 << 20;
constexpr int kMaxBenchTokens = 1 << 24;
constexpr int kMaxRepetitions = 1000;
constexpr size_t kHelpColumn = 34;
constexpr int32_t kLeastInt32 = std::numeric_limits<int32_t>::min();
constexpr int32_t kMostInt32 = std::numeric_limits<int32_t>::max();
constexpr int kByItself = -1;  // llama.cpp's number of threads that stands for the default

// What stands on the command line, before it means anything.
struct Flags {
  std::string model;
  std::string workers;
  std::optional<int> stages;
  std::string layers;
  std::optional<int> threads;
  std::string isa;
  std::string activations = "int8";
  std::string cache_type;
  std::string cache_type_k;
  std::string cache_type_v;
  std::optional<int32_t> context;
  std::optional<int32_t> prompt_chunk;
  std::string kv_memory;
  std::string speculation;
  std::optional<std::string> prompt;
  std::optional<std::string> file;
  std::optional<std::string> ids;
  std::optional<std::string> system;
  std::optional<std::string> chat_template;
  std::string seed;
  std::vector<std::string> logit_bias;
  bool chat = false;
  bool no_bos = false;
  bool no_special = false;
  // Of bench: lists, empty where none is given.
  std::string bench_prompts;
  std::string bench_generations;
  std::string bench_sequences;
  std::string bench_depths;
  std::string bench_threads;
  std::string bench_concurrency;
  std::string bench_format = "md";
};

// llama.cpp's short names of more than one letter.
constexpr absl::string_view kOneDash[] = {"cnv", "ctk", "ctv", "sys", "to"};

// Names as people type them: one dash for short ones, `-ctk` among them.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kHelpColumn); }

  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    if (is_positional) return option->get_name(/*positional=*/true);
    std::vector<std::string> names;
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) {
      names.push_back(
          (std::count(std::begin(kOneDash), std::end(kOneDash), name) > 0 ? "-" : "--") + name);
    }
    return absl::StrJoin(names, ", ");
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_items_expected_max() == 0 ? "" : " " + option->get_type_name();
  }
};

// A whole number in a range, which help does not spell out. Written anew, since CLI11 would read
// one that begins with 0 as octal.
CLI::Validator Within(int64_t least, int64_t most) {
  const auto check = [least, most](std::string& text) -> std::string {
    int64_t number = 0;
    if (!absl::SimpleAtoi(text, &number) || number < least || number > most) {
      return absl::StrCat("'", text, "' is given; expected a whole number from ", least, " to ",
                          most);
    }
    text = absl::StrCat(number);
    return "";
  };
  return CLI::Validator(check, "");
}

CLI::Validator Seconds() {
  const auto check = [](std::string& text) -> std::string {
    double seconds = 0;
    const bool is_time = absl::SimpleAtod(text, &seconds) && seconds > 0 && std::isfinite(seconds);
    return is_time ? "" : absl::StrCat("'", text, "' is given; expected seconds, more than 0");
  };
  return CLI::Validator(check, "");
}

constexpr char kModelGroup[] = "Model and workers";

void AddWorkerFlags(CLI::App& app, Flags& flags) {
  const std::string group = kModelGroup;
  app.add_option("-m,--model", flags.model, "a GGUF file")->type_name("FILE")->group(group);
  app.add_option("--workers", flags.workers,
                 "N local worker processes (default 1); 0: everything in this process;\n"
                 "HOST:PORT,HOST:PORT: workers running elsewhere")
      ->type_name("W")
      ->group(group);
  app.add_option("--stages", flags.stages, "with --workers 0: stages in this process (default 1)")
      ->transform(Within(1, kMaxLocalWorkers))
      ->type_name("N")
      ->group(group);
  app.add_option("--layers", flags.layers,
                 "layers of each worker by hand, as 0-11,12-21 (default: by bytes)")
      ->type_name("RANGES")
      ->group(group);
}

void AddSizeFlags(CLI::App& app, Flags& flags) {
  const std::string group = kModelGroup;
  app.add_option("-t,--threads", flags.threads,
                 "compute threads of each local worker\n(default: physical cores / workers)")
      ->transform(Within(kByItself, kMaxThreads))
      ->type_name("N")
      ->group(group);
  app.add_option("-c,--context,--ctx-size", flags.context,
                 "context length (default, or 0: the model's, within memory)")
      ->transform(Within(0, kMostInt32))
      ->type_name("N")
      ->group(group);
  app.add_option("--kv-memory", flags.kv_memory,
                 "of each worker, for K and V of all that runs, as 512M or 4G\n"
                 "(default: half of what is free beside the weights)")
      ->type_name("SIZE")
      ->group(group);
}

void AddComputeFlags(CLI::App& app, Flags& flags, Options& options) {
  const std::string group = kModelGroup;
  app.add_option("--prompt-chunk", flags.prompt_chunk,
                 "most prompt tokens in one step (default: chosen by the scheduler)")
      ->transform(Within(1, kMostInt32))
      ->type_name("N")
      ->group(group);
  app.add_option("--speculation", flags.speculation,
                 "drafts from what was said before, verified in one step:\n"
                 "on, off or auto, while it pays (default); never changes the text")
      ->type_name("MODE")
      ->group(group);
  app.add_option("--isa", flags.isa,
                 "scalar, avx2, avxvnni, avx512 or neon\n(default: the best here)")
      ->type_name("NAME")
      ->group(group);
  app.add_option("--cache-type", flags.cache_type, "stored K and V: f16, f32 or q8_0 (default f16)")
      ->type_name("TYPE")
      ->group(group);
  app.add_option("--ctk,--cache-type-k", flags.cache_type_k, "the same, for K; V must agree")
      ->type_name("TYPE")
      ->group(group);
  app.add_option("--ctv,--cache-type-v", flags.cache_type_v, "the same, for V; K must agree")
      ->type_name("TYPE")
      ->group(group);
  app.add_option("--activations", flags.activations,
                 "int8: rounded for quantized weights (default); f32: not, slower")
      ->type_name("MODE")
      ->group(group);
  app.add_option("--trace", options.trace_file,
                 "write when which stage computed what, for Perfetto (ui.perfetto.dev)")
      ->type_name("FILE")
      ->group(group);
  app.add_flag("--plan-only", options.plan_only, "print the plan and stop")->group(group);
}

void AddModelFlags(CLI::App& app, Flags& flags, Options& options) {
  AddWorkerFlags(app, flags);
  AddSizeFlags(app, flags);
  AddComputeFlags(app, flags, options);
}

void AddJsonFlag(CLI::App& app, Options& options) {
  app.add_flag("--json", options.json, "one JSON object on stdout")->group("Output");
}

void AddTextFlags(CLI::App& app, Flags& flags) {
  const std::string group = "Text";
  app.add_option("-p,--prompt", flags.prompt, "text; special tokens in it are honoured")
      ->type_name("TEXT")
      ->group(group);
  app.add_option("-f,--file", flags.file, "text from a file, every byte of it")
      ->type_name("FILE")
      ->group(group);
}

void AddPromptFlags(CLI::App& app, Flags& flags, Options& options) {
  const std::string group = "Text";
  AddTextFlags(app, flags);
  app.add_option("--ids", flags.ids, "token ids, as 1,2,3; nothing is added to them")
      ->type_name("IDS")
      ->group(group);
  app.add_flag("--chat,--cnv,--conversation", flags.chat,
               "a conversation with the model's chat template;\nwith -p one answer, then exit")
      ->group(group);
  app.add_option("--sys,--system,--system-prompt", flags.system,
                 "system message of the conversation")
      ->type_name("TEXT")
      ->group(group);
  app.add_option(
         "--chat-template", flags.chat_template,
         "chatml, llama3, qwen3, gemma ... instead of the model's own\n(a name that is none "
         "lists them all)")
      ->type_name("NAME")
      ->group(group);
  app.add_option("-n,--max-tokens,--n-predict,--predict", options.max_tokens,
                 "most tokens of an answer\n(default: until the end token or the context's end)")
      ->transform(Within(-1, kMostInt32))
      ->type_name("N")
      ->group(group);
}

void AddSamplingFlags(CLI::App& app, Flags& flags, Options& options) {
  const std::string group = "Sampling";
  SamplingParams& params = options.sampling;
  const auto number = [&](const std::string& names, auto& value, const std::string& description) {
    return app.add_option(names, value, description)->type_name("X")->group(group);
  };
  number("--temp,--temperature", params.temperature, "0: greedy (default 0.8)");
  number("--top-k", params.top_k, "keep the X likeliest; 0: all (default 40)")
      ->transform(Within(kLeastInt32, kMostInt32));
  number("--top-p", params.top_p, "keep the likeliest that reach X together (default 0.95)");
  number("--min-p", params.min_p,
         "keep those at least X times as likely as the best\n(default 0.05)");
  number("--repeat-last-n", params.repeat_last_n,
         "tokens that penalties look back on; -1: all (default 64)")
      ->transform(Within(-1, kMostInt32));
  number("--repeat-penalty", params.repeat_penalty, "1: off (default)");
  number("--presence-penalty", params.presence_penalty, "0: off (default)");
  number("--frequency-penalty", params.frequency_penalty, "0: off (default)");
  app.add_option("-s,--seed", flags.seed, "same seed, same text (default: another each time)")
      ->type_name("N")
      ->group(group);
  app.add_option("-l,--logit-bias", flags.logit_bias, "ID+X or ID-X, as 15043-inf; may be repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->type_name("BIAS")
      ->group(group);
  app.add_option("-r,--stop,--reverse-prompt", options.stop,
                 "the answer ends before this text; may be repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->type_name("TEXT")
      ->group(group);
  app.add_flag("--ignore-eos", options.ignore_eos, "go on after the end token")->group(group);
}

void AddOutputFlags(CLI::App& app, Options& options) {
  const std::string group = "Output";
  AddJsonFlag(app, options);
  app.add_option("--logprobs", options.top_logprobs,
                 "in --json: log-probabilities, and those of the N likeliest\ntokens of each step")
      ->transform(Within(0, kMaxLogprobs))
      ->type_name("N")
      ->group(group);
  app.add_option("--logits", options.logits_file,
                 "write the whole logits of every step, f32 little-endian")
      ->type_name("FILE")
      ->group(group);
}

void AddServerFlags(CLI::App& app, Options& options) {
  const std::string group = "Server (where no prompt is given)";
  app.add_option("--host", options.host, "the address to listen on (default 127.0.0.1)")
      ->type_name("HOST")
      ->group(group);
  app.add_option("--port", options.port, "0: a free one (default 8080)")
      ->transform(Within(0, std::numeric_limits<uint16_t>::max()))
      ->type_name("N")
      ->group(group);
  app.add_option("-a,--alias", options.alias, "the model's name in answers (default: the file's)")
      ->type_name("NAME")
      ->group(group);
  app.add_option("--timeout,--to", options.timeout_s,
                 "seconds that a request may take, waiting included (default 3600)")
      ->check(Seconds())
      ->type_name("S")
      ->group(group);
}

void AddBenchFlags(CLI::App& app, Flags& flags, Options& options) {
  const std::string group = "Tests";
  const auto list = [&](const std::string& names, std::string& values,
                        const std::string& description) {
    app.add_option(names, values, description)->type_name("N,...")->group(group);
  };
  list("-p,--n-prompt", flags.bench_prompts, "tokens of a prompt; 0: none (default 512)");
  list("-n,--n-gen", flags.bench_generations, "tokens to generate; 0: none (default 128)");
  list("-b,--n-batch-seqs", flags.bench_sequences, "sequences side by side (default 1)");
  list("-d,--n-depth", flags.bench_depths, "tokens that each one holds before (default 0)");
  list("-t,--threads", flags.bench_threads,
       "compute threads of each local worker\n(default: physical cores / workers)");
  list("--concurrency", flags.bench_concurrency,
       "that many clients at once instead: latencies, and how busy stages are");
  app.add_option("-r,--repetitions", options.repetitions, "runs of each test (default 3)")
      ->transform(Within(1, kMaxRepetitions))
      ->type_name("N")
      ->group(group);
  app.add_option("-o,--output", flags.bench_format, "md, csv or json (default md)")
      ->type_name("FORMAT")
      ->group("Output");
  app.add_flag("--json", options.json, "as -o json")->group("Output");
}

void AddInspectFlags(CLI::App& app, Flags& flags, Options& options) {
  const std::string group = "File";
  app.add_option("FILE", flags.model, "a GGUF file, or any shard of a model")->type_name("");
  app.add_option("-m,--model", flags.model, "the same")->type_name("FILE")->group(group);
  app.add_flag("--deep", options.deep, "look at all tensor data")->group(group);
  app.add_flag("--tensors", options.list_tensors, "list all tensors")->group("Output");
  AddJsonFlag(app, options);
}

struct Apps {
  CLI::App main{"Runs a GGUF language model, its layers spread over worker processes.",
                "coordinator"};
  CLI::App* perplexity = nullptr;
  CLI::App* tokenize = nullptr;
  CLI::App* bench = nullptr;
  CLI::App* inspect = nullptr;
};

void Prepare(CLI::App& app) {
  app.formatter(std::make_shared<HelpFormatter>());
  // The last one counts, so that a script's defaults can be followed by a person's wishes.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_help_flag();
}

// Last, so that it stands there.
void AddHelpFlag(CLI::App& app) { app.set_help_flag("-h,--help", "this text")->group("Output"); }

void BuildApps(Apps& apps, Flags& flags, Options& options) {
  Prepare(apps.main);
  AddModelFlags(apps.main, flags, options);
  AddPromptFlags(apps.main, flags, options);
  AddSamplingFlags(apps.main, flags, options);
  AddServerFlags(apps.main, options);
  AddOutputFlags(apps.main, options);
  AddHelpFlag(apps.main);
  apps.main.footer(
      "Examples:\n"
      "  coordinator -m model.gguf --workers 2 -p \"Once upon a time\" -n 64\n"
      "  coordinator -m model.gguf --workers 2            serves HTTP on port 8080\n"
      "  coordinator -m model.gguf --chat\n"
      "  coordinator -m model.gguf --workers 10.0.0.2:5000,10.0.0.3:5000 --json -p Hello\n"
      "'coordinator SUBCOMMAND --help' tells the flags of a subcommand.");

  apps.perplexity = apps.main.add_subcommand("perplexity", "how well the model foresees a text");
  Prepare(*apps.perplexity);
  apps.perplexity->footer("A text is scored in windows of --context tokens (default 512).");
  AddModelFlags(*apps.perplexity, flags, options);
  AddTextFlags(*apps.perplexity, flags);
  AddJsonFlag(*apps.perplexity, options);
  AddHelpFlag(*apps.perplexity);

  apps.tokenize = apps.main.add_subcommand("tokenize", "the token ids of a text, as a JSON list");
  Prepare(*apps.tokenize);
  apps.tokenize->footer("");
  apps.tokenize->add_option("-m,--model", flags.model, "a GGUF file; a vocabulary is enough")
      ->type_name("FILE")
      ->group("Text");
  AddTextFlags(*apps.tokenize, flags);
  apps.tokenize->add_flag("--no-bos", flags.no_bos, "add neither BOS nor EOS")->group("Text");
  apps.tokenize->add_flag("--no-special", flags.no_special, "special tokens are ordinary text")
      ->group("Text");
  AddHelpFlag(*apps.tokenize);

  apps.bench = apps.main.add_subcommand("bench", "tokens per second, and the hardware's limits");
  Prepare(*apps.bench);
  apps.bench->footer(
      "Every combination of the lists is measured. t/s counts the tokens of all sequences.\n"
      "limit: what the hardware reaches with the same threads in a probe beside each run;\n"
      "share: how near the test comes to it. Prompts are compared with arithmetic (int8 or\n"
      "f32, two operations per weight and token that meets it; only a prompt's last token\n"
      "meets all of the last layer), generations with reading weights, K and V (bandwidth)\n"
      "or with arithmetic, whichever bounds them more. Workers that run elsewhere are not\n"
      "probed.");
  AddWorkerFlags(*apps.bench, flags);
  AddComputeFlags(*apps.bench, flags, options);
  AddBenchFlags(*apps.bench, flags, options);
  AddHelpFlag(*apps.bench);

  apps.inspect = apps.main.add_subcommand("inspect", "what a file is, and whether it is sound");
  Prepare(*apps.inspect);
  apps.inspect->footer(
      "Exit code 0: sound; 1: broken; 3: sound as far as understood, but its architecture, a\n"
      "type or its tokenizer is unknown. What every load checks is checked; --deep looks for\n"
      "weights that are not numbers, and tells the range of each tensor.");
  AddInspectFlags(*apps.inspect, flags, options);
  AddHelpFlag(*apps.inspect);
}

KnownFlags FlagsOf(const CLI::App& app) {
  KnownFlags flags;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty()) continue;
    const KnownFlag flag = {"--" + option->get_lnames().front(),
                            option->get_items_expected_max() > 0};
    for (const std::string& name : option->get_lnames()) flags[name] = flag;
    for (const std::string& name : option->get_snames()) flags[name] = flag;
  }
  return flags;
}

// An empty word is mostly a script's variable that was not set, and no number or name at all.
absl::Status CheckNoneEmpty(const CLI::App& app) {
  static constexpr absl::string_view kTexts[] = {"prompt", "sys", "stop"};
  for (const CLI::Option* option : app.get_options()) {
    const std::string name =
        option->get_lnames().empty() ? option->get_name() : option->get_lnames().front();
    if (std::count(std::begin(kTexts), std::end(kTexts), name) > 0) continue;
    for (const std::string& value : option->results()) {
      if (!value.empty()) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(option->get_name(), " is empty; expected a value"));
    }
  }
  return absl::OkStatus();
}

// CLI11 would take a subcommand anywhere, and flags before it are not the subcommand's.
absl::Status CheckSubcommand(const Apps& apps, const CLI::App* chosen) {
  for (const CLI::App* subcommand : {apps.perplexity, apps.tokenize, apps.bench, apps.inspect}) {
    if (subcommand == chosen || !subcommand->parsed()) continue;
    return absl::InvalidArgumentError(absl::StrCat("'", subcommand->get_name(),
                                                   "' stands behind other words; expected it as "
                                                   "the first one"));
  }
  return absl::OkStatus();
}

absl::Status UsageError(const std::string& message, absl::string_view subcommand = "") {
  return absl::InvalidArgumentError(absl::StrCat(message, "; see coordinator ", subcommand,
                                                 subcommand.empty() ? "" : " ", "--help"));
}

absl::StatusOr<std::vector<int32_t>> ParseIds(absl::string_view text) {
  std::vector<int32_t> ids;
  absl::string_view list = absl::StripAsciiWhitespace(text);
  if (absl::ConsumePrefix(&list, "[")) absl::ConsumeSuffix(&list, "]");
  for (const absl::string_view word : absl::StrSplit(list, absl::ByAnyChar(", "))) {
    if (word.empty()) continue;
    int32_t id = 0;
    if (!absl::SimpleAtoi(word, &id) || id < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--ids has '", word, "'; expected token ids, as 1,2,3"));
    }
    ids.push_back(id);
  }
  if (ids.empty()) return absl::InvalidArgumentError("--ids is empty; expected ids, as 1,2,3");
  return ids;
}

absl::StatusOr<std::pair<int32_t, float>> ParseLogitBias(absl::string_view text) {
  const size_t sign = text.find_first_of("+-");
  int32_t id = 0;
  float bias = 0;
  if (sign == absl::string_view::npos || !absl::SimpleAtoi(text.substr(0, sign), &id) || id < 0 ||
      !absl::SimpleAtof(text.substr(sign + 1), &bias) || !(bias >= 0) ||
      (text[sign] == '+' && bias == std::numeric_limits<float>::infinity())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--logit-bias is '", text, "'; expected ID+X or ID-X, as 15043+1.5 or 15043-inf"));
  }
  return std::pair<int32_t, float>(id, text[sign] == '-' ? -bias : bias);
}

absl::Status ParseSeed(absl::string_view text, Options& options) {
  if (text.empty() || text == "-1") return absl::OkStatus();
  options.seed_given = true;
  if (absl::SimpleAtoi(text, &options.sampling.seed)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--seed is '", text, "'; expected a number from 0 to 2^64 - 1, or -1"));
}

absl::Status ParseKvMemory(absl::string_view text, Options& options) {
  if (text.empty()) return absl::OkStatus();
  constexpr absl::string_view kUnits = "KMG";
  absl::string_view digits = text;
  int shift = 0;
  if (const size_t unit = kUnits.find(absl::ascii_toupper(text.back()));
      unit != absl::string_view::npos) {
    shift = 10 * (static_cast<int>(unit) + 1);
    digits.remove_suffix(1);
  }
  uint64_t count = 0;
  if (!absl::SimpleAtoi(digits, &count) || count == 0 || count > (UINT64_MAX >> shift)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--kv-memory is '", text, "'; expected bytes, as 512M or 4G"));
  }
  options.kv_memory_bytes = count << shift;
  return absl::OkStatus();
}

absl::Status ParseSpeculation(absl::string_view text, Options& options) {
  for (const auto& [name, mode] :
       {std::pair("off", Speculation::kOff), std::pair("on", Speculation::kOn),
        std::pair("auto", Speculation::kAuto)}) {
    if (text != name) continue;
    options.speculation = mode;
    return absl::OkStatus();
  }
  if (text.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--speculation is '", text, "'; expected on, off or auto"));
}

absl::Status ParseWorkers(const Flags& flags, Options& options) {
  const std::string& text = flags.workers;
  const bool is_number =
      !text.empty() && text.find_first_not_of("+-0123456789") == std::string::npos;
  if (is_number) {
    if (!absl::SimpleAtoi(text, &options.local_worker_count) || options.local_worker_count < 0 ||
        options.local_worker_count > kMaxLocalWorkers) {
      return absl::InvalidArgumentError(absl::StrCat("--workers is ", text, "; expected 0 to ",
                                                     kMaxLocalWorkers, " or addresses"));
    }
  } else if (!text.empty()) {
    std::vector<std::string> addresses = absl::StrSplit(text, ',');
    for (std::string& address : addresses) address = ResolveAddress(address);
    absl::StatusOr<std::vector<WorkerEndpoint>> workers =
        ParseWorkerList(absl::StrJoin(addresses, ","));
    if (!workers.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--workers: ", workers.status().message()));
    }
    options.workers = *std::move(workers);
    options.local_worker_count = 0;
  }
  if (!flags.stages.has_value()) return absl::OkStatus();
  if (options.local_worker_count > 0 || !options.workers.empty()) {
    return absl::InvalidArgumentError("--stages goes with --workers 0 alone: a worker is a stage");
  }
  options.stage_count = *flags.stages;
  return absl::OkStatus();
}

absl::Status ParseNumeric(const Flags& flags, Options& options) {
  std::string type = flags.cache_type;
  for (const std::string& other : {flags.cache_type_k, flags.cache_type_v}) {
    if (other.empty()) continue;
    if (!type.empty() && type != other) {
      return absl::InvalidArgumentError(absl::StrCat("K and V are given the types ", type, " and ",
                                                     other, "; expected one for both"));
    }
    type = other;
  }
  if (!type.empty()) {
    const absl::StatusOr<KvType> kv_type = ParseKvType(type);
    if (!kv_type.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--cache-type: ", kv_type.status().message()));
    }
    options.numeric.kv_type = *kv_type;
  }
  if (flags.activations != "int8" && flags.activations != "f32") {
    return absl::InvalidArgumentError(
        absl::StrCat("--activations is '", flags.activations, "'; expected int8 or f32"));
  }
  options.numeric.activations =
      flags.activations == "f32" ? ActivationMode::kF32 : ActivationMode::kInt8;
  return absl::OkStatus();
}

absl::Status ParseRunFlags(const Flags& flags, Options& options) {
  RETURN_IF_ERROR(ParseWorkers(flags, options));
  RETURN_IF_ERROR(ParseNumeric(flags, options));
  if (!flags.isa.empty()) {
    const absl::StatusOr<Isa> isa = ParseIsa(flags.isa);
    if (!isa.ok()) {
      return absl::Status(isa.status().code(), absl::StrCat("--isa: ", isa.status().message()));
    }
    options.isa = *isa;
    if (!options.workers.empty()) {
      return absl::InvalidArgumentError(
          "--isa is given, and workers that run elsewhere have their own; expected no --isa");
    }
  }
  if (!options.trace_file.empty()) options.trace_file = ResolvePath(options.trace_file);
  options.layers = flags.layers;
  if (flags.threads == 0) {
    return absl::InvalidArgumentError("--threads is 0; expected 1 or more, or -1 for the default");
  }
  if (flags.threads.value_or(kByItself) != kByItself) options.thread_count = flags.threads;
  if (flags.context.value_or(0) > 0) options.context_length = flags.context;
  options.numeric.asked_context = flags.context.value_or(0);
  options.prompt_chunk = flags.prompt_chunk.value_or(0);
  RETURN_IF_ERROR(ParseSpeculation(flags.speculation, options));
  RETURN_IF_ERROR(ParseKvMemory(flags.kv_memory, options));
  return absl::OkStatus();
}

absl::Status ParseTextFlags(const Flags& flags, Options& options) {
  std::vector<std::string> given;
  if (flags.prompt.has_value()) given.push_back("-p");
  if (flags.file.has_value()) given.push_back("-f");
  if (flags.ids.has_value()) given.push_back("--ids");
  if (given.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(absl::StrJoin(given, " and "), " are given; expected one of them"));
  }
  options.prompt = flags.prompt;
  if (flags.file.has_value()) options.file = ResolvePath(*flags.file);
  if (flags.ids.has_value()) {
    ASSIGN_OR_RETURN(options.ids, ParseIds(*flags.ids));
  }
  options.add_special = !flags.no_bos;
  options.parse_special = !flags.no_special;
  if (given.empty() && !options.plan_only &&
      (options.command == Command::kPerplexity || options.command == Command::kTokenize)) {
    return absl::InvalidArgumentError("no text is given; expected -p TEXT or -f FILE");
  }
  return absl::OkStatus();
}

absl::Status ChooseCommand(const Flags& flags, Options& options) {
  const bool has_prompt = options.prompt || options.file || options.ids;
  if (flags.chat) {
    if (options.ids) {
      return absl::InvalidArgumentError("--ids and --chat are given; a conversation takes text");
    }
    if (options.json && !has_prompt) {
      return absl::InvalidArgumentError("--json with --chat needs -p TEXT: one object, one answer");
    }
    options.command = Command::kChat;
  } else if (!has_prompt && !options.plan_only) {
    if (options.json || !options.logits_file.empty()) {
      return absl::InvalidArgumentError(
          "--json and --logits go with a prompt; expected -p TEXT, -f FILE or --ids IDS");
    }
    options.command = Command::kServe;
  }
  options.system = flags.system;
  if (options.system && options.command != Command::kChat && !options.plan_only) {
    return absl::InvalidArgumentError("--system goes with --chat: raw text has no system message");
  }
  options.chat_template = flags.chat_template;
  if (options.chat_template && options.command == Command::kComplete && !options.plan_only) {
    return absl::InvalidArgumentError("--chat-template goes with --chat: raw text has no template");
  }
  return absl::OkStatus();
}

absl::Status ParseAnswerFlags(const Flags& flags, Options& options) {
  RETURN_IF_ERROR(ChooseCommand(flags, options));
  RETURN_IF_ERROR(ParseSeed(flags.seed, options));
  for (const std::string& text : flags.logit_bias) {
    ASSIGN_OR_RETURN(const auto bias, ParseLogitBias(text));
    options.logit_bias.push_back(bias);
  }
  if (options.top_logprobs >= 0 && !options.json) {
    return absl::InvalidArgumentError("--logprobs goes with --json: text has no place for them");
  }
  if (!options.logits_file.empty()) options.logits_file = ResolvePath(options.logits_file);
  return ValidateSamplingParams(options.sampling);
}

// "1,4,16", of numbers from `least` to `most`. Leaves `values` alone where nothing is given.
absl::Status ParseList(absl::string_view flag, absl::string_view text, int least, int most,
                       std::vector<int>& values) {
  if (text.empty()) return absl::OkStatus();
  values.clear();
  for (const absl::string_view word : absl::StrSplit(text, ',')) {
    int value = 0;
    if (!absl::SimpleAtoi(word, &value) || value < least || value > most) {
      return absl::InvalidArgumentError(absl::StrCat(flag, " has '", word, "'; expected numbers ",
                                                     least, " to ", most, ", as 1,2,4"));
    }
    values.push_back(value);
  }
  return absl::OkStatus();
}

// Clients come with a prompt and want an answer.
absl::Status CheckConcurrency(const Flags& flags, const Options& options) {
  if (options.concurrency.empty()) {
    if (options.trace_file.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError("--trace goes with --concurrency: tests have no scheduler");
  }
  if (!flags.bench_sequences.empty() || !flags.bench_depths.empty()) {
    return absl::InvalidArgumentError("--concurrency is given; expected neither -b nor -d");
  }
  for (const std::vector<int32_t>* counts :
       {&options.bench.prompt_tokens, &options.bench.generated_tokens}) {
    if (std::count(counts->begin(), counts->end(), 0) > 0) {
      return absl::InvalidArgumentError("--concurrency is given; expected -p and -n of 1 or more");
    }
  }
  if (flags.bench_format == "csv") {
    return absl::InvalidArgumentError("--concurrency is given; expected -o md or json");
  }
  return absl::OkStatus();
}

absl::Status ParseBenchFlags(const Flags& flags, Options& options) {
  BenchMatrix& bench = options.bench;
  RETURN_IF_ERROR(ParseList("-p", flags.bench_prompts, 0, kMaxBenchTokens, bench.prompt_tokens));
  RETURN_IF_ERROR(
      ParseList("-n", flags.bench_generations, 0, kMaxBenchTokens, bench.generated_tokens));
  RETURN_IF_ERROR(ParseList("-b", flags.bench_sequences, 1, kMaxBatchRows, bench.sequence_counts));
  RETURN_IF_ERROR(ParseList("-d", flags.bench_depths, 0, kMaxBenchTokens, bench.depths));
  RETURN_IF_ERROR(ParseList("-t", flags.bench_threads, 1, kMaxThreads, options.bench_threads));
  RETURN_IF_ERROR(ParseList("--concurrency", flags.bench_concurrency, 1, kDefaultQueueLimit,
                            options.concurrency));
  RETURN_IF_ERROR(CheckConcurrency(flags, options));
  if (ListTests(bench).empty()) {
    return absl::InvalidArgumentError("-p and -n are 0; expected a test to run");
  }
  if (!options.bench_threads.empty() && !options.workers.empty()) {
    return absl::InvalidArgumentError(
        "-t is given, and workers that run elsewhere have their own; expected no -t");
  }
  const std::string& format = flags.bench_format;
  if (format != "md" && format != "csv" && format != "json") {
    return absl::InvalidArgumentError(
        absl::StrCat("-o is '", format, "'; expected md, csv or json"));
  }
  if (format == "csv") options.bench_format = BenchFormat::kCsv;
  if (format == "json") options.json = true;
  if (options.json) options.bench_format = BenchFormat::kJson;
  return absl::OkStatus();
}

absl::Status Interpret(const Flags& flags, Options& options) {
  if (flags.model.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no model is given; expected ",
                     options.command == Command::kInspect ? "FILE" : "--model FILE"));
  }
  options.model = ResolvePath(flags.model);
  RETURN_IF_ERROR(ParseRunFlags(flags, options));
  RETURN_IF_ERROR(ParseTextFlags(flags, options));
  if (options.command == Command::kComplete) {
    RETURN_IF_ERROR(ParseAnswerFlags(flags, options));
  }
  if (options.command == Command::kBench) RETURN_IF_ERROR(ParseBenchFlags(flags, options));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  Flags flags;
  Apps apps;
  BuildApps(apps, flags, options);
  const CLI::App* app = &apps.main;
  if (!arguments.empty()) {
    for (const CLI::App* subcommand : {apps.perplexity, apps.tokenize, apps.bench, apps.inspect}) {
      if (arguments[0] == subcommand->get_name()) app = subcommand;
    }
  }
  if (app == apps.perplexity) options.command = Command::kPerplexity;
  if (app == apps.tokenize) options.command = Command::kTokenize;
  if (app == apps.bench) options.command = Command::kBench;
  if (app == apps.inspect) options.command = Command::kInspect;
  const std::string subcommand = app == &apps.main ? "" : app->get_name();
  std::vector<std::string> words = NormalizeArguments(arguments, FlagsOf(*app));
  try {
    apps.main.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::CallForHelp&) {
    options.command = Command::kHelp;
    options.help = apps.main.help();
    return options;
  } catch (const CLI::ParseError& error) {
    return UsageError(error.what(), subcommand);
  }
  absl::Status status = CheckSubcommand(apps, app);
  if (status.ok()) status = CheckNoneEmpty(*app);
  if (status.ok()) status = Interpret(flags, options);
  if (!status.ok()) return UsageError(std::string(status.message()), subcommand);
  return options;
}

}  // namespace baton
