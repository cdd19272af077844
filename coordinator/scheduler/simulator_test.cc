#include "coordinator/scheduler/simulator.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "coordinator/scheduler/pacing.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

SimulatedPipeline PipelineOf(int stages, SimulatedStage stage, double link_ms = 0.05) {
  SimulatedPipeline pipeline;
  pipeline.stages.assign(stages, stage);
  pipeline.link_ms = link_ms;
  return pipeline;
}

std::vector<SimulatedRequest> Streams(int count, int32_t prompt_tokens, int32_t answer_tokens) {
  return std::vector<SimulatedRequest>(count, {0, prompt_tokens, answer_tokens});
}

// When every answer had its first token, and when the first of them ended.
std::pair<double, double> AllRunning(const Simulation& simulation) {
  double from = 0;
  double to = simulation.end_ms;
  for (const SimulatedAnswer& answer : simulation.answers) {
    from = std::max(from, answer.token_ms.front());
    to = std::min(to, answer.token_ms.back());
  }
  return {from, to};
}

double SteadyTokensPerSecond(const SimulatedPipeline& pipeline, int streams) {
  const Simulation simulation = Simulate(pipeline, Streams(streams, 16, 200));
  const auto [from, to] = AllRunning(simulation);
  return simulation.TokensPerSecond(from, to);
}

// Half of a model of 1.1 billion parameters in 4 bits, on one core.
constexpr SimulatedStage kHalf = {.weights_ms = 10, .row_ms = 1.2};
constexpr SimulatedStage kWhole = {.weights_ms = 20, .row_ms = 2.4};

TEST(SimulatorTest, TheSameInputGivesTheSameResult) {
  std::vector<SimulatedRequest> requests;
  std::mt19937 random(3);
  for (int i = 0; i < 50; ++i) {
    requests.push_back({i * 20.0, static_cast<int32_t>(1 + random() % 300),
                        static_cast<int32_t>(1 + random() % 50)});
  }
  const Simulation first = Simulate(PipelineOf(3, kHalf), requests);
  const Simulation second = Simulate(PipelineOf(3, kHalf), requests);
  EXPECT_EQ(first.end_ms, second.end_ms);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(first.answers[i].token_ms, second.answers[i].token_ms);
    EXPECT_EQ(static_cast<int32_t>(first.answers[i].token_ms.size()), requests[i].answer_tokens);
  }
}

TEST(SimulatorTest, MeasuredStepsAreTakenAsTheyAre) {
  const SimulatedStage stage = {.measured = {{2, 10}, {4, 12}, {8, 20}}};
  EXPECT_EQ(stage.StepMs(1), 10);
  EXPECT_EQ(stage.StepMs(4), 12);
  EXPECT_EQ(stage.StepMs(6), 16);
  EXPECT_EQ(stage.StepMs(16), 40);
  const SimulatedStage same = {.measured = {{1, 10}, {8, 10}, {64, 80}}};
  EXPECT_EQ(SteadyTokensPerSecond(PipelineOf(2, same), 16),
            SteadyTokensPerSecond(PipelineOf(2, {.weights_ms = 10, .row_ms = 1.25}), 16));
}

TEST(SimulatorTest, OneStreamPaysForTheWayAlone) {
  const Simulation simulation = Simulate(PipelineOf(2, kHalf), Streams(1, 1, 100));
  const std::vector<double> gaps = TokenGaps(simulation.answers[0], 0, simulation.end_ms);
  EXPECT_LT(Percentile(gaps, 0.99), 2 * 10 + 0.3);
}

// The bound for B streams in two groups on two stages is t(B) / t(B / 2) times what one stage with
// the whole model does.
TEST(SimulatorTest, TwoStagesReachTheirBound) {
  for (const int streams : {4, 16, 64}) {
    const auto t = [](double rows) { return std::max(kWhole.weights_ms, kWhole.row_ms * rows); };
    const double gain = SteadyTokensPerSecond(PipelineOf(2, kHalf), streams) /
                        SteadyTokensPerSecond(PipelineOf(1, kWhole), streams);
    EXPECT_GE(gain, 0.95 * t(streams) / t(streams / 2)) << streams;
  }
}

TEST(SimulatorTest, StagesAreBusyWhileThereIsWork) {
  const Simulation simulation = Simulate(PipelineOf(2, kHalf), Streams(64, 16, 400));
  EXPECT_GE(simulation.BusyShare(0), 0.95);
  EXPECT_GE(simulation.BusyShare(1), 0.95);
}

TEST(SimulatorTest, ManyStagesAndSlowLinksAreFilled) {
  for (const int stages : {3, 16, 64}) {
    for (const double link_ms : {0.05, 5.0, 50.0}) {
      // Arithmetic alone: rows may be cut as finely as need be.
      constexpr SimulatedStage kStage = {.weights_ms = 1, .row_ms = 0.25};
      constexpr int kStreams = 1000;
      const SimulatedPipeline pipeline = PipelineOf(stages, kStage, link_ms);
      const double rate = SteadyTokensPerSecond(pipeline, kStreams);
      // Groups of four rows take no longer than one row: if so many go round, that is the best.
      const double links_ms = (stages + 1) * link_ms;
      double best = 0;
      for (int groups = 1; groups <= 256; ++groups) {
        const double ms = std::max(kStage.weights_ms, kStage.row_ms * kStreams / groups);
        best = std::max(best, 1000 * kStreams / std::max(groups * ms, stages * ms + links_ms));
      }
      EXPECT_GE(rate, 0.8 * best) << stages << " stages, links of " << link_ms << " ms";
    }
  }
}

TEST(SimulatorTest, ALongPromptAloneUsesAllStages) {
  for (const auto& [tokens, least] : {std::pair(512, 1.7), std::pair(2000, 1.8)}) {
    // From the second prompt on, when it is known what steps take.
    const std::vector<SimulatedRequest> requests = {{0, 64, 40}, {1e5, tokens, 1}};
    const auto first_token_ms = [&](const SimulatedPipeline& pipeline) {
      return Simulate(pipeline, requests).answers[1].token_ms[0] - 1e5;
    };
    const double gain =
        first_token_ms(PipelineOf(1, kWhole)) / first_token_ms(PipelineOf(2, kHalf));
    EXPECT_GE(gain, least) << tokens;
  }
}

TEST(SimulatorTest, ALongPromptSlowsRunningAnswersByABoundedPart) {
  for (const int stages : {1, 2, 4}) {
    const SimulatedPipeline pipeline =
        PipelineOf(stages, {kWhole.weights_ms / stages, kWhole.row_ms / stages});
    std::vector<SimulatedRequest> requests = Streams(8, 16, 600);
    const double arrives_ms = 4000;
    requests.push_back({arrives_ms, 2000, 1});
    const Simulation simulation = Simulate(pipeline, requests);
    const double first_token_ms = simulation.answers[8].token_ms[0];
    for (int i = 0; i < 8; ++i) {
      const SimulatedAnswer& answer = simulation.answers[i];
      const double before = Percentile(TokenGaps(answer, 1000, arrives_ms), 0.5);
      const std::vector<double> during = TokenGaps(answer, arrives_ms, first_token_ms);
      EXPECT_LE(Percentile(during, 0.95), 2 * before) << stages << " stages, stream " << i;
      // When it comes, steps of the prompt's are sent before anything is known of their company.
      EXPECT_LE(during.back(), 2.5 * before) << stages << " stages, stream " << i;
    }
    const Simulation alone = Simulate(pipeline, {{0, 64, 40}, {1e5, 2000, 1}});
    // One stage has nothing to do beside while a step of answers goes round.
    const double most = stages == 1 ? 2.7 : 2.5;
    EXPECT_LE(first_token_ms - arrives_ms, most * (alone.answers[1].token_ms[0] - 1e5)) << stages;
  }
}

// Of rows that take long, a prompt's share of a step is no whole number: steps take turns.
TEST(SimulatorTest, APromptHasItsShareOnAverage) {
  const Simulation simulation = Simulate(PipelineOf(1, {30, 10}), {{0, 16, 300}, {4000, 300, 1}});
  const SimulatedAnswer& answer = simulation.answers[0];
  const double before = Percentile(TokenGaps(answer, 1000, 4000), 0.5);
  const std::vector<double> during =
      TokenGaps(answer, 4500, simulation.answers[1].token_ms[0] - 100);
  ASSERT_GT(during.size(), 30u);
  const double mean =
      std::accumulate(during.begin(), during.end(), 0.0) / static_cast<double>(during.size());
  EXPECT_NEAR(mean / before, kSlowdownForPrompts, 0.03);
}

TEST(SimulatorTest, EqualStreamsGetEqualShares) {
  const Simulation simulation = Simulate(PipelineOf(2, kHalf), Streams(37, 20, 300));
  double first = simulation.end_ms;
  for (const SimulatedAnswer& answer : simulation.answers) {
    first = std::min(first, answer.token_ms.back());
  }
  EXPECT_GE(first, 0.9 * simulation.end_ms);
}

TEST(SimulatorTest, ALongPromptIsNotStarvedByShortOnes) {
  std::vector<SimulatedRequest> requests = {{0, 4000, 1}};
  // Short ones that would fill the pipeline by themselves for a minute.
  for (int i = 0; i < 1000; ++i) requests.push_back({i * 60.0, 60, 1});
  const Simulation simulation = Simulate(PipelineOf(2, kHalf), requests);
  const double alone_ms = 4000 * kHalf.row_ms;
  EXPECT_LT(simulation.answers[0].token_ms[0], 6 * alone_ms);
  // And short ones do not wait for it.
  EXPECT_LT(simulation.answers[1].token_ms[0], 0.3 * alone_ms);
}

TEST(SimulatorTest, TooFewBlocksAreShared) {
  SimulatedPipeline pipeline = PipelineOf(2, kHalf);
  pipeline.kv_block_count = 64;
  const Simulation simulation = Simulate(pipeline, Streams(30, 100, 200));
  EXPECT_GT(simulation.preemption_count, 0);
  for (const SimulatedAnswer& answer : simulation.answers) EXPECT_EQ(answer.token_ms.size(), 200u);
}

}  // namespace
}  // namespace baton
