#include "coordinator/scheduler/prompt_lookup.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

using Tokens = std::vector<int32_t>;

// Steps of a + b rows milliseconds.
StepTimes Measured(double a, double b) {
  StepTimes times(false);
  for (int32_t rows = 1; rows <= 64; rows *= 2)
    times.Add(rows, {{a + b * rows}}, a + b * rows, true);
  return times;
}

TEST(PromptLookupTest, ProposesWhatFollowedLastTime) {
  PromptLookup lookup(Speculation::kOn);
  const StepTimes times = Measured(10, 0.1);
  Tokens tokens = {1, 2, 3, 4, 5, 6, 9, 1, 2, 3};
  EXPECT_EQ(lookup.Draft(tokens, 3, times, 0), (Tokens{4, 5, 6}));
  tokens.insert(tokens.end(), {7, 1, 2, 3});
  EXPECT_EQ(lookup.Draft(tokens, 2, times, 0), (Tokens{7, 1}));
  // Up to the end of what is known.
  EXPECT_EQ(lookup.Draft(tokens, 100, times, 0), (Tokens{7, 1, 2, 3}));
  tokens.push_back(8);
  EXPECT_TRUE(lookup.Draft(tokens, 3, times, 0).empty());
}

TEST(PromptLookupTest, ProposesNothingWhereNothingIsWanted) {
  const Tokens tokens = {1, 2, 3, 1, 2, 3, 1, 2, 3};
  const StepTimes times = Measured(10, 0.1);
  EXPECT_TRUE(PromptLookup(Speculation::kOff).Draft(tokens, 3, times, 0).empty());
  EXPECT_TRUE(PromptLookup(Speculation::kOn).Draft(tokens, 0, times, 0).empty());
  EXPECT_TRUE(PromptLookup(Speculation::kOn).Draft({1, 2}, 3, times, 0).empty());
}

TEST(PromptLookupTest, DraftsGetLongerWhileTheyAreRightAndEndWhenWrong) {
  PromptLookup lookup(Speculation::kAuto);
  const StepTimes times = Measured(10, 1);
  Tokens tokens;
  for (int i = 0; i < 60; ++i) tokens.push_back(i % 20);
  const size_t at_first = lookup.Draft(tokens, 100, times, 0).size();
  EXPECT_GT(at_first, 0u);
  for (int i = 0; i < 20; ++i) lookup.Learn(4, 4);
  const size_t later = lookup.Draft(tokens, 100, times, 0).size();
  EXPECT_GT(later, at_first);
  for (int i = 0; i < 20; ++i) lookup.Learn(4, 0);
  int tries = 0;
  for (int i = 0; i < 200; ++i) {
    const Tokens draft = lookup.Draft(tokens, 100, times, 0);
    tries += !draft.empty();
    if (!draft.empty()) lookup.Learn(static_cast<int32_t>(draft.size()), 0);
  }
  EXPECT_GT(tries, 1);
  EXPECT_LT(tries, 8);
}

TEST(PromptLookupTest, RowsThatCostAsMuchAsStepsAreNotWorthAGuess) {
  PromptLookup lookup(Speculation::kAuto);
  Tokens tokens;
  for (int i = 0; i < 60; ++i) tokens.push_back(i % 20);
  EXPECT_TRUE(lookup.Draft(tokens, 100, Measured(0.1, 10), 8).empty());
}

}  // namespace
}  // namespace baton
