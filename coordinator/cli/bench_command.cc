#include "coordinator/cli/bench_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/bench/bench_run.h"
#include "coordinator/bench/bench_table.h"
#include "coordinator/bench/measurement.h"
#include "coordinator/bench/sequence_feeder.h"
#include "coordinator/bench/stream_bench.h"
#include "coordinator/bench/stream_table.h"
#include "coordinator/cli/deployment.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/machine.h"
#include "coordinator/cli/plan_report.h"
#include "coordinator/cli/text_format.h"
#include "engine/base/status_macros.h"
#include "engine/pipeline/hardware_probe.h"
#include "engine/pipeline/step_work.h"
#include "proto/bounds.h"

namespace baton {
namespace {

// What the largest of the tests asks for.
struct Room {
  int32_t sequence_count = 1;
  int32_t position_count = 1;  // of each sequence
  int32_t spare_blocks = 0;    // for each sequence, beyond those of its positions
};

absl::Status CheckFits(const std::string& test, int64_t positions, const ModelSpec& spec) {
  if (positions <= spec.context_length) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("test ", test, " needs a context of ", positions,
                                                 " tokens, and the model has at most ",
                                                 spec.context_length));
}

absl::StatusOr<Room> RoomFor(const std::vector<BenchTest>& tests, const ModelSpec& spec) {
  Room room;
  for (const BenchTest& test : tests) {
    const int64_t positions = int64_t{test.depth} + test.tokens_per_sequence();
    RETURN_IF_ERROR(CheckFits(test.Name(), positions, spec));
    room.sequence_count = std::max(room.sequence_count, test.sequence_count);
    room.position_count = std::max(room.position_count, static_cast<int32_t>(positions));
  }
  return room;
}

uint64_t WeightBytes(const PipelinePlan& plan) {
  uint64_t bytes = 0;
  for (const PlannedStage& stage : plan.stages) bytes += stage.weight_bytes;
  return bytes;
}

// Blocks for all sequences, by cache group: a test is repeated from the same position, so that
// windows move back. An error where this machine surely has no room for them.
absl::StatusOr<std::vector<int32_t>> CountKvBlocks(const Room& room, const Options& options,
                                                   const PlannedModel& model) {
  const int64_t blocks = SequenceFeeder::KvBlockCount(room.sequence_count, room.position_count) +
                         int64_t{room.sequence_count} * room.spare_blocks;
  if (blocks > kMaxKvBlocks) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the tests need ", blocks, " KV blocks for ", room.sequence_count, " sequences of ",
        room.position_count, " tokens; expected at most ", kMaxKvBlocks, " in all"));
  }
  const std::vector<uint64_t> block_bytes =
      KvBlockBytes(model.spec, {0, model.spec.layer_count}, options.numeric.kv_type);
  const uint64_t needed =
      blocks * std::accumulate(block_bytes.begin(), block_bytes.end(), uint64_t{0});
  const uint64_t available = AvailableMemoryBytes();
  if (options.workers.empty() && available > 0 && needed + WeightBytes(model.plan) > available) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the tests need ", HumanBytes(needed), " of KV cache beside ",
                     HumanBytes(WeightBytes(model.plan)), " of weights, and ",
                     HumanBytes(available), " of memory are free"));
  }
  return std::vector<int32_t>(block_bytes.size(), static_cast<int32_t>(blocks));
}

// One line that is written over again and again, where a person sees it.
class ProgressLine {
 public:
  ~ProgressLine() { Clear(); }
  void Show(const std::string& text) {
    if (on_terminal_) std::fprintf(stderr, "\r%s\x1b[K", text.c_str());
  }
  void Clear() {
    if (on_terminal_) std::fputs("\r\x1b[K", stderr);
  }

 private:
  const bool on_terminal_ = isatty(STDERR_FILENO);
};

struct Probes {
  std::unique_ptr<HardwareProbe> prompt;
  std::unique_ptr<HardwareProbe> step;
};

// Of this machine, where it is the one that computes.
absl::StatusOr<Probes> MakeProbes(const Options& options, const PlannedModel& model) {
  Probes probes;
  if (!options.workers.empty()) return probes;
  const Isa isa = options.isa.value_or(BestIsa());
  const int threads = ThreadsPerWorker(options);
  // Chunks of a prompt keep all workers busy at once; a step of generation is in one at a time.
  const int prompt_threads = threads * std::max(1, options.local_worker_count);
  const StepWork step = CountStepWork(model.spec, options.numeric, {1, 1, 0});
  ASSIGN_OR_RETURN(probes.prompt, HardwareProbe::Create(isa, prompt_threads, /*read_bytes=*/0));
  ASSIGN_OR_RETURN(probes.step,
                   HardwareProbe::Create(isa, threads, static_cast<uint64_t>(step.read_bytes)));
  return probes;
}

// All tests with the options' number of threads.
absl::Status RunTests(const Options& options, const PlannedModel& model, const Room& room,
                      const std::vector<BenchTest>& tests, BenchTable& table, Output& output) {
  ASSIGN_OR_RETURN(const auto deployment, Deployment::Start(options, model));
  const CancelOnInterrupt cancel([&] { deployment->Cancel(); });
  ASSIGN_OR_RETURN(const Probes probes, MakeProbes(options, model));
  ProgressLine progress;
  SequenceFeederOptions feeder_options;
  feeder_options.cache_groups = model.cache_groups;
  feeder_options.vocabulary_size = model.spec.vocabulary_size;
  feeder_options.sequence_count = room.sequence_count;
  feeder_options.position_count = room.position_count;
  feeder_options.prompt_chunk = std::min(options.prompt_chunk, MostStepRows(model.spec.width));
  feeder_options.weight_rows = WeightRows(model.spec, options.numeric);
  feeder_options.prompt_slack = PromptSlack(model.spec, model.plan);
  feeder_options.keep_going = [&] { return !Interrupted() && !output.closed(); };
  SequenceFeeder feeder(deployment->pipeline(), feeder_options);
  BenchSetup setup;
  setup.spec = &model.spec;
  setup.numeric = options.numeric;
  setup.feeder = &feeder;
  setup.prompt_probe = probes.prompt.get();
  setup.step_probe = probes.step.get();
  setup.repetitions = options.repetitions;
  setup.progress = [&](const std::string& what) { progress.Show(what); };
  for (const BenchTest& test : tests) {
    ASSIGN_OR_RETURN(BenchResult result, RunBenchTest(test, setup));
    if (options.workers.empty()) result.thread_count = ThreadsPerWorker(options);
    result.worker_count = static_cast<int>(options.workers.size()) + options.local_worker_count;
    progress.Clear();
    output.Write(table.Row(result));
    RETURN_IF_ERROR(output.status());
  }
  return absl::OkStatus();
}

// What all streams of the largest test take.
absl::StatusOr<Room> StreamRoom(const Options& options, const ModelSpec& spec) {
  Room room;
  // The scheduler admits a request while that leaves a block for each one that runs.
  room.spare_blocks = 1;
  for (const StreamTest& test : ListStreamTests(options.bench, options.concurrency)) {
    const int64_t positions = int64_t{test.prompt_tokens} + test.generated_tokens;
    RETURN_IF_ERROR(CheckFits(absl::StrCat(test.stream_count, " streams"), positions, spec));
    room.sequence_count = std::max(room.sequence_count, test.stream_count);
    room.position_count = std::max(room.position_count, static_cast<int32_t>(positions));
  }
  return room;
}

absl::Status RunStreams(const Options& options, const PlannedModel& model, StreamTable& table,
                        Output& output) {
  StageClock clock;  // outlives those that tell it
  ASSIGN_OR_RETURN(const auto deployment, Deployment::Start(options, model));
  const CancelOnInterrupt cancel([&] { deployment->Cancel(); });
  deployment->OnStep([&](const StepRecord& record) { clock.Add(record); });
  const auto keep_going = [&] { return !Interrupted() && !output.closed(); };
  ProgressLine progress;
  for (const StreamTest& test : ListStreamTests(options.bench, options.concurrency)) {
    std::vector<StreamResult> runs;
    for (int i = 0; i < options.repetitions; ++i) {
      progress.Show(
          absl::StrCat(test.stream_count, " streams, run ", i + 1, " of ", options.repetitions));
      // No prompt comes twice: it would cost nothing.
      const uint64_t seed = 1 + uint64_t{kDefaultQueueLimit} * i;
      ASSIGN_OR_RETURN(StreamResult run,
                       RunStreamTest(test, model.spec.vocabulary_size, seed, options.speculation,
                                     deployment->scheduler(), clock, keep_going));
      runs.push_back(std::move(run));
    }
    StreamResult result = Merge(runs);
    if (options.workers.empty()) result.thread_count = ThreadsPerWorker(options);
    result.worker_count = static_cast<int>(options.workers.size()) + options.local_worker_count;
    progress.Clear();
    output.Write(table.Row(result));
    RETURN_IF_ERROR(output.status());
  }
  return absl::OkStatus();
}

// Once for each number of threads that is asked for.
absl::Status ForEachThreadCount(const Options& options,
                                const std::function<absl::Status(const Options&)>& run) {
  Options one = options;
  std::vector<std::optional<int>> counts(options.bench_threads.begin(),
                                         options.bench_threads.end());
  if (counts.empty()) counts.push_back(std::nullopt);
  for (const std::optional<int> count : counts) {
    one.thread_count = count;
    RETURN_IF_ERROR(run(one));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunBench(const Options& options, Output& output) {
  const bool streams = !options.concurrency.empty();
  const std::vector<BenchTest> tests = ListTests(options.bench);
  ASSIGN_OR_RETURN(PlannedModel model, PlanModel(options, /*default_context=*/1));
  ASSIGN_OR_RETURN(const Room room,
                   streams ? StreamRoom(options, model.spec) : RoomFor(tests, model.spec));
  model.context_length = room.position_count;
  ASSIGN_OR_RETURN(std::vector<int32_t> blocks, CountKvBlocks(room, options, model));
  SetKvBlocks(std::move(blocks), options, model);
  std::fputs(PlanTable(model.plan, model.cache_groups, model.workers).c_str(), stderr);
  const uint64_t bytes = WeightBytes(model.plan);
  const BenchModel name = {options.model, HumanBytes(bytes), bytes};
  if (streams) {
    StreamTable table(options.bench_format == BenchFormat::kJson, name);
    RETURN_IF_ERROR(ForEachThreadCount(
        options, [&](const Options& run) { return RunStreams(run, model, table, output); }));
    output.Write(table.Footer());
    return output.status();
  }
  if (!options.workers.empty()) {
    Say("limits are left out: the workers' hardware is not this machine's");
  }
  BenchTable table(options.bench_format, name, tests);
  RETURN_IF_ERROR(ForEachThreadCount(options, [&](const Options& run) {
    return RunTests(run, model, room, tests, table, output);
  }));
  output.Write(table.Footer());
  return output.status();
}

}  // namespace baton
