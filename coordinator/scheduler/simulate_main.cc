// Prints what the scheduler is expected to do on pipelines of many shapes: the table of
// docs/scheduling.md.
#include <algorithm>
#include <cstdio>
#include <vector>

#include "coordinator/scheduler/simulator.h"

namespace {

using baton::Percentile;
using baton::SimulatedPipeline;
using baton::SimulatedRequest;
using baton::Simulation;

// A whole model, as one core runs 1.1 billion parameters in 4 bits: its weights are read in this
// time, and a row's arithmetic takes this long.
constexpr double kWeightsMs = 26;
constexpr double kRowMs = 2.5;

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

void PrintRow(int stages, double link_ms, int streams) {
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

}  // namespace

int main() {
  std::puts(
      "| stages | link ms | streams | tokens/s | least busy stage | ms per token | ms per token "
      "beside the prompt, p99 | its first token after s |\n|--:|--:|--:|--:|--:|--:|--:|--:|");
  for (const int stages : {1, 2, 4, 8, 64}) {
    for (const double link_ms : {0.05, 5.0, 50.0}) {
      if (stages == 1 && link_ms > 1) continue;
      for (const int streams : {1, 4, 16, 64, 256}) PrintRow(stages, link_ms, streams);
    }
  }
}
