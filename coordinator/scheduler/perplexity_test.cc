#include "coordinator/scheduler/perplexity.h"

#include <cmath>

#include "coordinator/scheduler/fake_pipeline.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr double kTolerance = 1e-12;

class PerplexityTest : public testing::Test {
 protected:
  absl::StatusOr<Perplexity> Measure(const std::vector<int32_t>& tokens, int32_t window,
                                     std::optional<int32_t> bos = std::nullopt) {
    return MeasurePerplexity(tokens, window, bos, scheduler_,
                             [&](int64_t done, int64_t total, double so_far) {
                               progress_.push_back({done, total});
                               last_ = so_far;
                               return static_cast<int64_t>(progress_.size()) != cancel_after_;
                             });
  }

  static SchedulerOptions Options() {
    SchedulerOptions options;
    options.kv_block_counts = {16};
    options.context_length = 512;
    options.vocabulary_size = kFakeVocabulary;
    options.prompt_chunk = 5;
    return options;
  }

  FakePipeline pipeline_{3};
  Scheduler scheduler_{pipeline_, Options()};
  std::vector<std::pair<int64_t, int64_t>> progress_;
  double last_ = 0;
  int64_t cancel_after_ = -1;
};

// The scores that the fake gives, by the definition, one window after the other.
std::vector<double> ExpectedScores(const std::vector<int32_t>& tokens, int32_t window,
                                   std::optional<int32_t> bos) {
  std::vector<double> scores;
  for (size_t start = 0; start + window <= tokens.size(); start += window) {
    std::vector<int32_t> seen = {bos.value_or(tokens[start])};
    for (int32_t i = 1; i < window; ++i) {
      const int32_t token = tokens[start + i];
      if (i >= window / 2 + 1) scores.push_back(token == FakeNextToken(seen) ? 0.5 : 2.0);
      seen.push_back(token);
    }
  }
  return scores;
}

// A text of which the fake foresees some tokens.
std::vector<int32_t> Text(int32_t count, int32_t window, std::optional<int32_t> bos) {
  std::vector<int32_t> tokens;
  std::vector<int32_t> seen;
  for (int32_t i = 0; i < count; ++i) {
    if (i % window == 0) seen.clear();
    tokens.push_back(i % 3 == 0 ? i % kFakeVocabulary : FakeNextToken(seen));
    seen.push_back(i % window == 0 ? bos.value_or(tokens.back()) : tokens.back());
  }
  return tokens;
}

TEST_F(PerplexityTest, FollowsItsDefinition) {
  for (const std::optional<int32_t> bos : {std::optional<int32_t>(), std::optional<int32_t>(1)}) {
    for (const int32_t window : {4, 12, 33}) {
      const std::vector<int32_t> text = Text(170, window, bos);
      const std::vector<double> x = ExpectedScores(text, window, bos);
      double mean = 0;
      for (const double value : x) mean += value / x.size();
      double variance = 0;
      for (const double value : x) variance += (value - mean) * (value - mean) / x.size();
      const absl::StatusOr<Perplexity> result = Measure(text, window, bos);
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->token_count, static_cast<int64_t>(x.size()));
      EXPECT_NEAR(result->perplexity, std::exp(mean), kTolerance * 10);
      EXPECT_NEAR(result->error, std::exp(mean) * std::sqrt(variance / (x.size() - 1)), 1e-9);
    }
  }
}

TEST_F(PerplexityTest, Scores255Of512) {
  const absl::StatusOr<Perplexity> result =
      MeasurePerplexity(Text(1100, 512, std::nullopt), 512, std::nullopt, scheduler_, nullptr);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->token_count, 2 * 255);
}

TEST_F(PerplexityTest, TellsItsProgress) {
  const absl::StatusOr<Perplexity> result = Measure(Text(50, 16, std::nullopt), 16);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(progress_, (std::vector<std::pair<int64_t, int64_t>>{{1, 3}, {2, 3}, {3, 3}}));
  EXPECT_EQ(last_, result->perplexity);
}

TEST_F(PerplexityTest, RefusesTextsThatAreTooShort) {
  const absl::Status status = Measure({1, 2, 3}, 16).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("3 tokens"), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("16"), absl::string_view::npos) << status;
  EXPECT_FALSE(Measure({1, 2, 3, 4, 5, 6}, 2).ok());
}

TEST_F(PerplexityTest, CanBeEndedEarly) {
  cancel_after_ = 1;
  EXPECT_EQ(Measure(Text(1600, 16, std::nullopt), 16).status().code(),
            absl::StatusCode::kCancelled);
  EXPECT_LT(progress_.size(), 10u);
}

TEST_F(PerplexityTest, AFailedStepIsAnErrorAndNothingMore) {
  pipeline_.fail_step = 2;
  EXPECT_EQ(Measure(Text(50, 16, std::nullopt), 16).status().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(Measure(Text(50, 16, std::nullopt), 16).ok());
}

}  // namespace
}  // namespace baton
