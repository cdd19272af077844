// Prints what the scheduler is expected to do on a pipeline whose steps were measured, or on
// pipelines of many shapes: the table of docs/scheduling.md.
//
//   bazel run //coordinator/scheduler:simulate -- --stage 1:13,8:14,32:80 --stage 1:14,8:16,32:85
#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "coordinator/scheduler/simulator.h"

namespace {

using baton::MeasuredStep;
using baton::Percentile;
using baton::SimulatedPipeline;
using baton::SimulatedRequest;
using baton::Simulation;

// A whole model, as one core runs 1.1 billion parameters in 4 bits: its weights are read in this
// time, and a row's arithmetic takes this long.
constexpr double kWeightsMs = 26;
constexpr double kRowMs = 2.5;

constexpr int kWrongUsage = 2;  // exit code

constexpr int32_t kPromptTokens = 32;
constexpr int32_t kAnswerTokens = 500;
// Comes when all streams run.
constexpr int32_t kLongPromptTokens = 2000;

SimulatedPipeline Split(int stages, double link_ms) {
  SimulatedPipeline pipeline;
  pipeline.stages.assign(stages, {kWeightsMs / stages, kRowMs / stages});
  pipeline.link_ms = link_ms;
  return pipeline;
}

void PrintShape(int stages, double link_ms, int streams) {
  const SimulatedPipeline pipeline = Split(stages, link_ms);
  std::vector<SimulatedRequest> requests(streams, {0, kPromptTokens, kAnswerTokens});
  const Simulation quiet = Simulate(pipeline, requests);
  double from_ms = 0;
  double to_ms = quiet.end_ms;
  for (const baton::SimulatedAnswer& answer : quiet.answers) {
    from_ms = std::max(from_ms, answer.token_ms.front());
    to_ms = std::min(to_ms, answer.token_ms.back());
  }
  const std::vector<double> gaps = TokenGaps(quiet.answers[0], from_ms, to_ms);
  double busy = 1;
  for (int stage = 0; stage < stages; ++stage) busy = std::min(busy, quiet.BusyShare(stage));
  requests.push_back({(from_ms + to_ms) / 2, kLongPromptTokens, 1});
  const Simulation disturbed = Simulate(pipeline, requests);
  const double arrives_ms = requests.back().arrives_ms;
  const double first_token_ms = disturbed.answers.back().token_ms.front();
  const std::vector<double> beside = TokenGaps(disturbed.answers[0], arrives_ms, first_token_ms);
  std::printf("| %d | %g | %d | %.1f | %.0f%% | %.1f | %.1f | %.1f |\n", stages, link_ms, streams,
              quiet.TokensPerSecond(from_ms, to_ms), 100 * busy, Percentile(gaps, 0.5),
              beside.empty() ? 0.0 : Percentile(beside, 0.99),
              (first_token_ms - arrives_ms) / 1000);
}

void PrintShapes() {
  std::puts(
      "| stages | link ms | streams | tokens/s | least busy stage | ms per token | ms per token "
      "beside the prompt, p99 | its first token after s |\n|--:|--:|--:|--:|--:|--:|--:|--:|");
  for (const int stages : {1, 2, 4, 8, 64}) {
    for (const double link_ms : {0.05, 5.0, 50.0}) {
      if (stages == 1 && link_ms > 1) continue;
      for (const int streams : {1, 4, 16, 64, 256}) PrintShape(stages, link_ms, streams);
    }
  }
}

// "1:13.5,8:14.2". Rows must ascend.
bool ParseSteps(const std::string& text, std::vector<MeasuredStep>& steps) {
  for (const absl::string_view pair : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(pair, ':');
    MeasuredStep step;
    if (parts.size() != 2 || !absl::SimpleAtod(parts[0], &step.rows) ||
        !absl::SimpleAtod(parts[1], &step.ms) || step.ms <= 0 ||
        step.rows <= (steps.empty() ? 0 : steps.back().rows)) {
      return false;
    }
    steps.push_back(step);
  }
  return true;
}

// As `coordinator bench --concurrency` measures: one number of streams after the other, so that the
// scheduler knows what steps took before; tokens per second of the whole run.
void PrintMeasured(const SimulatedPipeline& pipeline, const std::vector<int>& stream_counts,
                   const SimulatedRequest& request) {
  std::puts("| streams | tokens/s | least busy stage |\n|--:|--:|--:|");
  std::vector<SimulatedRequest> requests;
  Simulation before;
  before.busy_ms.resize(pipeline.stages.size());
  for (const int streams : stream_counts) {
    for (int i = 0; i < streams; ++i) {
      requests.push_back({before.end_ms, request.prompt_tokens, request.answer_tokens});
    }
    Simulation simulation = Simulate(pipeline, requests);
    const double ms = simulation.end_ms - before.end_ms;
    double busy = 1;
    for (size_t i = 0; i < pipeline.stages.size(); ++i) {
      busy = std::min(busy, (simulation.busy_ms[i] - before.busy_ms[i]) / ms);
    }
    std::printf("| %d | %.1f | %.0f%% |\n", streams, streams * request.answer_tokens * 1000 / ms,
                100 * busy);
    before = std::move(simulation);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "What the scheduler is expected to do. Without --stage: on pipelines of many shapes.");
  SimulatedPipeline pipeline;
  std::vector<std::string> stages;
  std::vector<int> stream_counts = {4, 16, 64};
  SimulatedRequest request = {0, kPromptTokens, kAnswerTokens};
  app.add_option("--stage", stages,
                 "what it takes for so many rows, as 1:13.5,8:14.2 (ms); once for each stage")
      ->type_name("ROWS:MS,...")
      ->allow_extra_args(false);
  app.add_option("--streams", stream_counts, "that come at once, one number after the other")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--prompt", request.prompt_tokens, "tokens of each")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--answer", request.answer_tokens, "tokens of each")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--link-ms", pipeline.link_ms, "between two neighbours, the coordinator too")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--coordinator-ms", pipeline.coordinator_ms, "from a result to the next step")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUsage;
  }
  for (const std::string& text : stages) {
    if (!ParseSteps(text, pipeline.stages.emplace_back().measured)) {
      std::fprintf(stderr,
                   "error: --stage is '%s', expected ROWS:MILLISECONDS,... with ascending rows\n",
                   text.c_str());
      return kWrongUsage;
    }
  }
  if (stages.empty()) {
    PrintShapes();
  } else {
    PrintMeasured(pipeline, stream_counts, request);
  }
}
