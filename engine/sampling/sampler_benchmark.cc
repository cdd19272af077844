// One draw from vocabularies of 32,000 and 128,256 tokens: what the last stage adds to each row.
#include <cstdint>
#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "engine/sampling/sampler.h"

namespace baton {
namespace {

void Draw(benchmark::State& state, const SampleSpec& spec) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> logits(state.range(0));
  for (float& logit : logits) logit = normal(random);
  for (auto _ : state) benchmark::DoNotOptimize(Sample(logits, spec));
}

SampleSpec WithTemperature(float temperature) {
  SampleSpec spec;
  spec.params.temperature = temperature;
  return spec;
}

SampleSpec WithLogprobs() {
  SampleSpec spec;
  spec.top_logprobs = 5;
  return spec;
}

BENCHMARK_CAPTURE(Draw, greedy, WithTemperature(0))->Arg(32000)->Arg(128256);
BENCHMARK_CAPTURE(Draw, defaults, SampleSpec())->Arg(32000)->Arg(128256);
BENCHMARK_CAPTURE(Draw, logprobs, WithLogprobs())->Arg(32000)->Arg(128256);

}  // namespace
}  // namespace baton

BENCHMARK_MAIN();
