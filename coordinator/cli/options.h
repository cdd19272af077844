// What a person asked for.
#ifndef BATON_COORDINATOR_CLI_OPTIONS_H_
#define BATON_COORDINATOR_CLI_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/bench/bench_table.h"
#include "coordinator/bench/measurement.h"
#include "coordinator/cluster/worker_endpoint.h"
#include "coordinator/scheduler/speculation.h"
#include "engine/kernels/isa.h"
#include "engine/pipeline/local_stage.h"
#include "engine/sampling/sampler.h"

namespace baton {

enum class Command { kHelp, kComplete, kChat, kServe, kPerplexity, kTokenize, kBench, kInspect };

// Of a request over HTTP; llama.cpp's.
inline constexpr double kDefaultTimeoutS = 3600;

struct Options {
  Command command = Command::kComplete;
  std::string help;  // of kHelp: the text

  // The model, and where it runs. Paths are as they are to be opened.
  std::string model;
  int local_worker_count = 1;           // 0: every stage inside this process
  std::vector<WorkerEndpoint> workers;  // running elsewhere; then local_worker_count is 0
  int stage_count = 1;                  // inside this process
  std::string layers;                   // ranges by hand; empty: planned
  std::optional<int> thread_count;      // of each local worker
  std::optional<Isa> isa;
  NumericOptions numeric;
  std::optional<int32_t> context_length;
  std::optional<uint64_t> kv_memory_bytes;  // of each worker; absent: what is free, with headroom
  int32_t prompt_chunk = 0;                 // 0: the scheduler's choice
  Speculation speculation = Speculation::kAuto;
  bool plan_only = false;
  std::string trace_file;  // where a picture of the run goes; empty: nowhere

  // The prompt: at most one of these.
  std::optional<std::string> prompt;
  std::optional<std::string> file;
  std::optional<std::vector<int32_t>> ids;
  std::optional<std::string> system;
  std::optional<std::string> chat_template;  // a family's name; absent: the model's own template

  // The answer.
  int32_t max_tokens = -1;
  SamplingParams sampling;  // the seed is chosen where none was given
  bool seed_given = false;
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  int32_t top_logprobs = -1;  // -1: none
  std::string logits_file;
  bool json = false;

  // Of serving.
  std::string host = "127.0.0.1";
  uint16_t port = 8080;                 // 0: a free one
  std::string alias;                    // the model's name in answers; empty: the file's
  double timeout_s = kDefaultTimeoutS;  // of a request, waiting included

  // Of tokenize.
  bool add_special = true;
  bool parse_special = true;

  // Of inspect.
  bool list_tensors = false;
  bool deep = false;  // looks at all tensor data

  // Of bench.
  BenchMatrix bench;
  std::vector<int> bench_threads;  // one after the other; empty: the default
  int repetitions = 3;
  BenchFormat bench_format = BenchFormat::kMarkdown;
  std::vector<int> concurrency;  // streams at once; empty: tests without a scheduler
};

// Of the words after the program's name. InvalidArgument, in one line, for wrong usage.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_OPTIONS_H_
