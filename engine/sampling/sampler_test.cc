#include "engine/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The same chain, written the slow and obvious way, with libm.
namespace twin {

struct Entry {
  double logit;
  int32_t id;
};

std::vector<double> Softmax(const std::vector<Entry>& entries, double temperature) {
  std::vector<double> result;
  double sum = 0;
  for (const Entry& entry : entries) {
    result.push_back(std::exp((entry.logit - entries[0].logit) / temperature));
    sum += result.back();
  }
  for (double& p : result) p /= sum;
  return result;
}

// Logits after bias and penalties.
std::vector<float> Adjust(const std::vector<float>& logits, const SampleSpec& spec) {
  std::vector<float> result = logits;
  for (const auto& [id, bias] : spec.logit_bias) result[id] += bias;
  for (int32_t id = 0; id < static_cast<int32_t>(logits.size()); ++id) {
    int count = 0;
    const int64_t size = static_cast<int64_t>(spec.history.size());
    for (int64_t i = 0; i < size; ++i) {
      const bool in_window =
          spec.params.repeat_last_n == -1 || i >= size - spec.params.repeat_last_n;
      if (in_window && spec.history[i] == id) ++count;
    }
    if (count == 0) continue;
    if (result[id] <= 0) {
      result[id] *= spec.params.repeat_penalty;
    } else {
      result[id] /= spec.params.repeat_penalty;
    }
    result[id] -= count * spec.params.frequency_penalty + spec.params.presence_penalty;
  }
  return result;
}

// What is left to draw from, likeliest first.
std::vector<Entry> Survivors(const std::vector<float>& logits, const SampleSpec& spec) {
  std::vector<Entry> entries;
  const std::vector<float> adjusted = Adjust(logits, spec);
  for (size_t id = 0; id < adjusted.size(); ++id) {
    if (std::isfinite(adjusted[id])) entries.push_back({adjusted[id], static_cast<int32_t>(id)});
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.logit > b.logit; });
  const SamplingParams& params = spec.params;
  if (params.top_k > 0 && entries.size() > static_cast<size_t>(params.top_k)) {
    entries.resize(params.top_k);
  }
  if (params.top_p < 1) {
    const std::vector<double> p = Softmax(entries, 1);
    double sum = 0;
    size_t kept = 0;
    while (kept < entries.size() && (kept == 0 || sum < params.top_p)) sum += p[kept++];
    entries.resize(kept);
  }
  if (params.min_p > 0) {
    const std::vector<double> p = Softmax(entries, 1);
    std::vector<Entry> kept;
    for (size_t i = 0; i < p.size(); ++i) {
      if (p[i] >= params.min_p * p[0]) kept.push_back(entries[i]);
    }
    entries = kept;
  }
  if (params.temperature <= 0) entries.resize(1);
  return entries;
}

int32_t Choose(const std::vector<float>& logits, const SampleSpec& spec) {
  const std::vector<Entry> entries = Survivors(logits, spec);
  if (entries.size() == 1) return entries[0].id;
  const std::vector<double> p = Softmax(entries, spec.params.temperature);
  double left = UniformFromCounter(spec.params.seed, spec.counter);
  size_t i = 0;
  while (i + 1 < p.size() && left >= p[i]) left -= p[i++];
  return entries[i].id;
}

}  // namespace twin

// Normally distributed, with some equal values and some that are forbidden.
std::vector<float> RandomLogits(std::mt19937& random, int size) {
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = normal(random);
  for (int i = 0; i < size / 5; ++i) logits[random() % size] = logits[random() % size];
  for (int i = 0; i < size / 10; ++i) logits[random() % size] = -kInfinity;
  return logits;
}

SampleSpec GreedySpec() {
  SampleSpec spec;
  spec.params.temperature = 0;
  return spec;
}

// Temperature alone: every other step off.
SampleSpec PlainSpec(float temperature) {
  SampleSpec spec;
  spec.params.temperature = temperature;
  spec.params.top_k = 0;
  spec.params.top_p = 1;
  spec.params.min_p = 0;
  return spec;
}

int32_t TokenOf(const std::vector<float>& logits, const SampleSpec& spec) {
  const absl::StatusOr<SampleResult> result = Sample(logits, spec);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->token : -1;
}

// Every token that is drawn at least once in `draws` draws.
std::map<int32_t, int> DrawMany(const std::vector<float>& logits, SampleSpec spec, int draws) {
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i) {
    spec.counter = i;
    ++counts[TokenOf(logits, spec)];
  }
  return counts;
}

std::vector<int32_t> Ids(const std::map<int32_t, int>& counts) {
  std::vector<int32_t> ids;
  for (const auto& [id, count] : counts) ids.push_back(id);
  return ids;
}

TEST(SampleTest, GreedyTakesTheFirstMaximum) {
  EXPECT_EQ(TokenOf({1, 5, 5, 2, 5}, GreedySpec()), 1);
  EXPECT_EQ(TokenOf({-kInfinity, -7, -kInfinity}, GreedySpec()), 1);
  EXPECT_EQ(TokenOf({0.0f, -0.0f}, GreedySpec()), 0);
  EXPECT_EQ(TokenOf({-0.0f, 0.0f}, GreedySpec()), 0);
}

TEST(SampleTest, GreedyIgnoresSeedAndCounter) {
  SampleSpec spec = GreedySpec();
  for (int i = 0; i < 20; ++i) {
    spec.params.seed = i * 77;
    spec.counter = i;
    EXPECT_EQ(TokenOf({1, 2, 3, 2.9f}, spec), 2);
  }
}

TEST(SampleTest, NegativeTemperatureIsGreedy) {
  SampleSpec spec;
  spec.params.temperature = -1;
  EXPECT_EQ(TokenOf({1, 2, 3, 2.9f}, spec), 2);
}

TEST(SampleTest, TopKKeepsTheLikeliestAndTheLowerIdsAmongEquals) {
  SampleSpec spec = PlainSpec(1);
  spec.params.top_k = 2;
  EXPECT_EQ(Ids(DrawMany({2, 1, 2, 2, 0}, spec, 200)), (std::vector<int32_t>{0, 2}));
  spec.params.top_k = 1;
  EXPECT_EQ(Ids(DrawMany({2, 1, 2, 2, 0}, spec, 50)), (std::vector<int32_t>{0}));
  spec.params.top_k = 0;
  EXPECT_EQ(DrawMany({2, 1, 2, 2, 0}, spec, 500).size(), 5u);
  spec.params.top_k = 1000;
  EXPECT_EQ(DrawMany({2, 1, 2, 2, 0}, spec, 500).size(), 5u);
}

TEST(SampleTest, TopPKeepsTheSmallestPrefixThatReachesIt) {
  // Probabilities 0.5, 0.25, 0.125, 0.125.
  const float ln2 = std::log(2.0f);
  const std::vector<float> logits = {-3 * ln2, -ln2, -2 * ln2, -3 * ln2};
  SampleSpec spec = PlainSpec(1);
  spec.params.top_p = 0.49f;
  EXPECT_EQ(Ids(DrawMany(logits, spec, 200)), (std::vector<int32_t>{1}));
  spec.params.top_p = 0.7f;
  EXPECT_EQ(Ids(DrawMany(logits, spec, 200)), (std::vector<int32_t>{1, 2}));
  spec.params.top_p = 0.8f;
  EXPECT_EQ(Ids(DrawMany(logits, spec, 200)), (std::vector<int32_t>{0, 1, 2}));
  spec.params.top_p = 0;
  EXPECT_EQ(Ids(DrawMany(logits, spec, 200)), (std::vector<int32_t>{1}));
}

TEST(SampleTest, TopPLooksAtProbabilitiesBeforeTemperature) {
  SampleSpec spec = PlainSpec(100);
  spec.params.top_p = 0.6f;
  EXPECT_EQ(Ids(DrawMany({3, 0, 0, 0}, spec, 200)), (std::vector<int32_t>{0}));
}

TEST(SampleTest, MinPIsAShareOfTheLikeliest) {
  const float ln2 = std::log(2.0f);
  const std::vector<float> logits = {0, -ln2, -2 * ln2, -3 * ln2};
  SampleSpec spec = PlainSpec(1);
  spec.params.min_p = 0.3f;
  EXPECT_EQ(Ids(DrawMany(logits, spec, 200)), (std::vector<int32_t>{0, 1}));
  spec.params.min_p = 0.2f;
  EXPECT_EQ(Ids(DrawMany(logits, spec, 200)), (std::vector<int32_t>{0, 1, 2}));
  spec.params.min_p = 1;
  EXPECT_EQ(Ids(DrawMany(logits, spec, 200)), (std::vector<int32_t>{0}));
}

TEST(SampleTest, RepeatPenaltyDividesPositiveAndMultipliesNegativeLogits) {
  SampleSpec spec = GreedySpec();
  spec.params.repeat_penalty = 2;
  spec.history = {0};
  EXPECT_EQ(TokenOf({4, 1.9f}, spec), 0);
  EXPECT_EQ(TokenOf({4, 2.1f}, spec), 1);
  EXPECT_EQ(TokenOf({-1, -1.9f}, spec), 1);
  EXPECT_EQ(TokenOf({-1, -2.1f}, spec), 0);
}

TEST(SampleTest, FrequencyCountsAndPresenceDoesNot) {
  SampleSpec spec = GreedySpec();
  spec.history = {0, 0, 0};
  spec.params.frequency_penalty = 1;
  EXPECT_EQ(TokenOf({5, 1.9f}, spec), 0);
  EXPECT_EQ(TokenOf({5, 2.1f}, spec), 1);
  spec.params.frequency_penalty = 0;
  spec.params.presence_penalty = 1;
  EXPECT_EQ(TokenOf({5, 3.9f}, spec), 0);
  EXPECT_EQ(TokenOf({5, 4.1f}, spec), 1);
}

TEST(SampleTest, PenaltiesLookBackRepeatLastN) {
  SampleSpec spec = GreedySpec();
  spec.params.presence_penalty = 10;
  spec.history = {0, 2, 2};
  spec.params.repeat_last_n = 2;
  EXPECT_EQ(TokenOf({3, 2, 1}, spec), 0);
  spec.params.repeat_last_n = 3;
  EXPECT_EQ(TokenOf({3, 2, 1}, spec), 1);
  spec.params.repeat_last_n = -1;
  EXPECT_EQ(TokenOf({3, 2, 1}, spec), 1);
  spec.params.repeat_last_n = 0;
  EXPECT_EQ(TokenOf({3, 2, 1}, spec), 0);
}

TEST(SampleTest, BiasIsAddedBeforePenalties) {
  SampleSpec spec = GreedySpec();
  spec.logit_bias = {{1, 4.0f}, {1, 2.0f}};
  EXPECT_EQ(TokenOf({5, 0}, spec), 1);
  spec.history = {1};
  spec.params.repeat_penalty = 2;  // (0 + 6) / 2; of the bare 0 it would make 0 and then 6
  EXPECT_EQ(TokenOf({5, 0}, spec), 0);
}

TEST(SampleTest, MinusInfiniteBiasForbids) {
  SampleSpec spec = PlainSpec(1);
  spec.logit_bias = {{1, -kInfinity}};
  EXPECT_EQ(Ids(DrawMany({1, 9, 1}, spec, 100)), (std::vector<int32_t>{0, 2}));
}

// Any parameters for a vocabulary of so many; every step may be off.
SampleSpec RandomSpec(std::mt19937& random, int size) {
  SampleSpec spec;
  spec.params.temperature = (random() % 8) * 0.25f;
  spec.params.top_k = static_cast<int32_t>(random() % 70) - 5;
  spec.params.top_p = (1 + random() % 10) * 0.1f;
  spec.params.min_p = (random() % 5) * 0.04f;
  spec.params.repeat_last_n = static_cast<int32_t>(random() % 12) - 1;
  spec.params.repeat_penalty = 1.0f + (random() % 3) * 0.3f;
  spec.params.frequency_penalty = (random() % 3) * 0.2f;
  spec.params.presence_penalty = (random() % 3) * -0.4f;
  spec.params.seed = random();
  spec.counter = random();
  for (int i = random() % 20; i > 0; --i) spec.history.push_back(random() % size);
  for (int i = random() % 3; i > 0; --i) {
    spec.logit_bias.emplace_back(random() % size, (random() % 9) * 0.5f - 2.0f);
  }
  return spec;
}

TEST(SampleTest, EqualsItsSlowTwin) {
  std::mt19937 random(20240607);
  for (int round = 0; round < 4000; ++round) {
    const int most = round % 4 == 0 ? 700 : 60;
    const std::vector<float> logits = RandomLogits(random, 1 + random() % most);
    if (std::none_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })) {
      continue;
    }
    const SampleSpec spec = RandomSpec(random, static_cast<int>(logits.size()));
    ASSERT_EQ(TokenOf(logits, spec), twin::Choose(logits, spec)) << "round " << round;
  }
}

// Each likelier than all before it, or none.
TEST(SampleTest, EqualsItsSlowTwinInAnyOrderOfTheLogits) {
  std::vector<float> logits(1000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = 0.01f * static_cast<float>(i / 3);
  for (const bool descending : {false, true}) {
    if (descending) std::reverse(logits.begin(), logits.end());
    for (int round = 0; round < 500; ++round) {
      SampleSpec spec;
      spec.params.temperature = round % 10 == 0 ? 0.0f : 1.0f;
      spec.params.top_k = 1 + round % 200;
      spec.params.top_p = 1;
      spec.counter = round;
      ASSERT_EQ(TokenOf(logits, spec), twin::Choose(logits, spec)) << "top-k " << 1 + round % 200;
    }
  }
}

// Of one part of the vocabulary the likeliest alone are left.
TEST(SampledCandidatesTest, TheOthersChangeNothing) {
  std::mt19937 random(77);
  int rounds_with_candidates = 0;
  for (int round = 0; round < 4000; ++round) {
    std::vector<float> logits = RandomLogits(random, 200);
    SampleSpec spec = RandomSpec(random, 200);
    if (round % 2 == 0) {
      spec.logit_bias.clear();
      spec.params.repeat_last_n = 0;
    }
    const int32_t candidates = SampledCandidates(spec);
    if (candidates == 0) continue;
    ++rounds_with_candidates;
    const int32_t expected = TokenOf(logits, spec);
    const size_t begin = random() % 100, size = random() % 100;
    const absl::Span<float> part = absl::MakeSpan(logits).subspan(begin, size);
    const std::vector<Candidate> left = LikeliestTokens(part, candidates);
    std::fill(part.begin(), part.end(), -kInfinity);
    for (const Candidate& candidate : left) part[candidate.id] = candidate.logit;
    ASSERT_EQ(TokenOf(logits, spec), expected) << "round " << round;
  }
  EXPECT_GT(rounds_with_candidates, 1000);
}

TEST(SampledCandidatesTest, AllMatterToBiasPenaltiesAndProbabilities) {
  EXPECT_EQ(SampledCandidates(SampleSpec()), SamplingParams().top_k);
  EXPECT_EQ(SampledCandidates(GreedySpec()), 1);
  EXPECT_EQ(SampledCandidates(PlainSpec(1)), 0);
  SampleSpec spec = GreedySpec();
  spec.top_logprobs = 0;
  EXPECT_EQ(SampledCandidates(spec), 0);
  spec = GreedySpec();
  spec.logit_bias = {{1, 1.0f}};
  EXPECT_EQ(SampledCandidates(spec), 0);
  spec = GreedySpec();
  spec.params.presence_penalty = -1;
  EXPECT_EQ(SampledCandidates(spec), 0);
}

TEST(SampleTest, DrawsWithTheProbabilitiesOfTheSoftmax) {
  const std::vector<float> logits = {0.3f, 2.0f, -1.0f, 1.0f, 0.0f, 1.5f, -0.5f, 0.9f};
  constexpr int kDraws = 40000;
  // The 99.9% quantile of chi-square with 7 degrees of freedom.
  constexpr double kChiSquareLimit = 24.32;
  for (const float temperature : {0.5f, 1.0f, 2.0f}) {
    SampleSpec spec = PlainSpec(temperature);
    spec.params.seed = 42;
    std::map<int32_t, int> counts = DrawMany(logits, spec, kDraws);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit / temperature);
    double chi_square = 0;
    for (size_t id = 0; id < logits.size(); ++id) {
      const double expected = kDraws * std::exp(logits[id] / temperature) / sum;
      const double distance = counts[static_cast<int32_t>(id)] - expected;
      chi_square += distance * distance / expected;
    }
    EXPECT_LT(chi_square, kChiSquareLimit) << "temperature " << temperature;
  }
}

TEST(SampleTest, DependsOnItsArgumentsAlone) {
  std::mt19937 random(7);
  const std::vector<float> logits = RandomLogits(random, 500);
  SampleSpec spec = PlainSpec(1.2f);
  spec.params.seed = 9;
  std::vector<int32_t> forward;
  for (int i = 0; i < 50; ++i) {
    spec.counter = i;
    forward.push_back(TokenOf(logits, spec));
  }
  for (int i = 49; i >= 0; --i) {
    spec.counter = i;
    EXPECT_EQ(TokenOf(logits, spec), forward[i]);
  }
  EXPECT_GT(std::set<int32_t>(forward.begin(), forward.end()).size(), 5u);
}

TEST(SampleTest, LogprobsAreOfTheRawLogits) {
  const std::vector<float> logits = {1.0f, 3.0f, 2.0f, 3.0f, -kInfinity};
  SampleSpec spec = GreedySpec();
  spec.params.temperature = 0;
  spec.logit_bias = {{0, 100.0f}};
  spec.top_logprobs = 3;
  const absl::StatusOr<SampleResult> result = Sample(logits, spec);
  ASSERT_TRUE(result.ok()) << result.status();
  const double log_sum = std::log(std::exp(1.0) + 2 * std::exp(3.0) + std::exp(2.0));
  EXPECT_EQ(result->token, 0);
  EXPECT_NEAR(result->logprob, 1 - log_sum, 1e-6);
  ASSERT_EQ(result->top_logprobs.size(), 3u);
  EXPECT_EQ(result->top_logprobs[0].first, 1);
  EXPECT_EQ(result->top_logprobs[1].first, 3);
  EXPECT_EQ(result->top_logprobs[2].first, 2);
  EXPECT_NEAR(result->top_logprobs[0].second, 3 - log_sum, 1e-6);
  EXPECT_NEAR(result->top_logprobs[2].second, 2 - log_sum, 1e-6);
}

TEST(SampleTest, LogprobsCountIsBoundedByTheVocabulary) {
  SampleSpec spec = GreedySpec();
  spec.top_logprobs = 100;
  EXPECT_EQ(Sample({1.0f, 2.0f}, spec)->top_logprobs.size(), 2u);
  spec.top_logprobs = 0;
  EXPECT_TRUE(Sample({1.0f, 2.0f}, spec)->top_logprobs.empty());
  EXPECT_NE(Sample({1.0f, 2.0f}, spec)->logprob, 0.0f);
  spec.top_logprobs = -1;
  EXPECT_EQ(Sample({1.0f, 2.0f}, spec)->logprob, 0.0f);
}

TEST(SampleTest, RefusesLogitsThatAreNoNumbers) {
  for (const float bad : {kNan, -kNan, kInfinity}) {
    const absl::Status status = Sample({1.0f, bad, 2.0f}, GreedySpec()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_NE(status.message().find("token 1"), absl::string_view::npos) << status;
  }
  std::vector<float> many(300, 1.0f);
  many[130] = many[131] = many[299] = kNan;
  EXPECT_EQ(Sample(many, GreedySpec()).status().message(),
            "the logit of token 130 is nan; expected a number");
  EXPECT_EQ(Sample({-kInfinity, -kInfinity}, GreedySpec()).status().code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(Sample({-kInfinity, -kInfinity}, PlainSpec(1)).status().code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(Sample({}, GreedySpec()).status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Sample({}, SampleSpec()).status().code(), absl::StatusCode::kInternal);
}

TEST(SampleTest, BiasesThatForbidAllAreWhoeverAskedForThem) {
  SampleSpec spec = GreedySpec();
  spec.logit_bias = {{0, -kInfinity}, {1, -kInfinity}};
  EXPECT_EQ(Sample({1.0f, 2.0f, 3.0f}, spec).value().token, 2);
  EXPECT_EQ(Sample({1.0f, 2.0f}, spec).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SampleTest, RefusesIdsOutsideTheVocabulary) {
  for (const int32_t id : {-1, 3, 1 << 30}) {
    SampleSpec spec = GreedySpec();
    spec.logit_bias = {{id, 1.0f}};
    EXPECT_EQ(Sample({1.0f, 2.0f, 3.0f}, spec).status().code(), absl::StatusCode::kInvalidArgument);
    spec = GreedySpec();
    spec.params.repeat_penalty = 1.1f;
    spec.history = {id};
    EXPECT_EQ(Sample({1.0f, 2.0f, 3.0f}, spec).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(SampleTest, RefusesBiasAndPenaltiesThatOverflow) {
  SampleSpec spec = GreedySpec();
  for (const float bad : {kNan, kInfinity}) {
    spec.logit_bias = {{0, bad}};
    EXPECT_EQ(Sample({1.0f, 2.0f}, spec).status().code(), absl::StatusCode::kInvalidArgument);
  }
  spec = GreedySpec();
  spec.params.repeat_penalty = 1e-38f;
  spec.history = {0};
  EXPECT_EQ(Sample({10.0f, 2.0f}, spec).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ValidateSamplingParamsTest, NamesTheFlagAndTheValue) {
  EXPECT_TRUE(ValidateSamplingParams(SamplingParams()).ok());
  const auto expect_refused = [](auto field, auto value, const char* flag) {
    SamplingParams params;
    params.*field = value;
    const absl::Status status = ValidateSamplingParams(params);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << flag << ' ' << value;
    EXPECT_NE(status.message().find(flag), absl::string_view::npos) << status;
  };
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    expect_refused(&SamplingParams::temperature, bad, "--temp");
    expect_refused(&SamplingParams::top_p, bad, "--top-p");
    expect_refused(&SamplingParams::min_p, bad, "--min-p");
    expect_refused(&SamplingParams::repeat_penalty, bad, "--repeat-penalty");
    expect_refused(&SamplingParams::frequency_penalty, bad, "--frequency-penalty");
    expect_refused(&SamplingParams::presence_penalty, bad, "--presence-penalty");
  }
  expect_refused(&SamplingParams::top_p, 1.01f, "--top-p");
  expect_refused(&SamplingParams::min_p, -0.01f, "--min-p");
  expect_refused(&SamplingParams::repeat_penalty, 0.0f, "--repeat-penalty");
  expect_refused(&SamplingParams::repeat_last_n, -2, "--repeat-last-n");
}

TEST(LogProbabilityTest, MeetsLibm) {
  std::mt19937 random(5);
  const std::vector<float> logits = RandomLogits(random, 1000);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  for (int32_t id = 0; id < 1000; id += 37) {
    const double expected = logits[id] - std::log(sum);
    if (std::isinf(expected)) {
      EXPECT_EQ(LogProbability(logits, id), expected);
    } else {
      EXPECT_NEAR(LogProbability(logits, id), expected, 1e-12);
    }
  }
}

TEST(LogProbabilityTest, HoldsFarFromZero) {
  EXPECT_NEAR(LogProbability({10000.0f, 9999.0f}, 0), -std::log1p(std::exp(-1.0)), 1e-12);
  EXPECT_NEAR(LogProbability({-10000.0f, -9999.0f}, 1), -std::log1p(std::exp(-1.0)), 1e-12);
  EXPECT_EQ(LogProbability({5.0f}, 0), 0.0);
}

TEST(UniformFromCounterTest, TakesTheHighBitsOfThePublishedGenerator) {
  // From the generator's first published vector: words 0x6627e8d5 and 0xe169c58d.
  EXPECT_EQ(UniformFromCounter(0, 0), static_cast<double>(0xe169c58d6627e8d5 >> 11) * 0x1p-53);
}

TEST(UniformFromCounterTest, UsesAllBitsOfSeedAndCounter) {
  std::map<double, int> seen;
  for (int bit = 0; bit < 64; ++bit) {
    ++seen[UniformFromCounter(uint64_t{1} << bit, 0)];
    ++seen[UniformFromCounter(0, uint64_t{1} << bit)];
  }
  EXPECT_EQ(seen.size(), 128u);
  EXPECT_GE(seen.begin()->first, 0.0);
  EXPECT_LT(seen.rbegin()->first, 1.0);
}

}  // namespace
}  // namespace baton
