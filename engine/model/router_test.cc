#include "engine/model/router.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

std::vector<ExpertChoice> Choose(const RouterSpec& router, const std::vector<float>& scores,
                                 int used, const std::vector<float>& choice_bias = {}) {
  std::vector<ExpertChoice> choices(used);
  ChooseExperts(router, choice_bias, scores, absl::MakeSpan(choices));
  return choices;
}

float Sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

TEST(RouterTest, SoftmaxOverAllIsNormalisedOverThoseChosen) {
  RouterSpec router;
  const std::vector<ExpertChoice> choices = Choose(router, {1, 3, 2, 0}, 2);
  EXPECT_EQ(choices[0].expert, 1);
  EXPECT_EQ(choices[1].expert, 2);
  EXPECT_NEAR(choices[0].weight, Sigmoid(1), 1e-6);
  EXPECT_NEAR(choices[1].weight, Sigmoid(-1), 1e-6);
}

TEST(RouterTest, WeightsStayProbabilitiesWhereTheyAreNotNormalised) {
  RouterSpec router;
  router.normalized = false;
  const std::vector<ExpertChoice> choices = Choose(router, {0, 0, 0, 0}, 2);
  EXPECT_FLOAT_EQ(choices[0].weight, 0.25f);
  EXPECT_FLOAT_EQ(choices[1].weight, 0.25f);
}

TEST(RouterTest, TheLowerIndexWinsATie) {
  const std::vector<ExpertChoice> choices = Choose(RouterSpec(), {1, 2, 2, 2, 1}, 4);
  EXPECT_EQ(choices[0].expert, 1);
  EXPECT_EQ(choices[1].expert, 2);
  EXPECT_EQ(choices[2].expert, 3);
  EXPECT_EQ(choices[3].expert, 0);
}

TEST(RouterTest, AChosenSoftmaxSumsToOneOverThoseChosen) {
  RouterSpec router;
  router.gate = RouterGate::kChosenSoftmax;
  router.normalized = false;
  const std::vector<ExpertChoice> choices = Choose(router, {5, 1, 4, 9}, 2);
  EXPECT_EQ(choices[0].expert, 3);
  EXPECT_NEAR(choices[0].weight, Sigmoid(4), 1e-6);
  EXPECT_NEAR(choices[1].weight, Sigmoid(-4), 1e-6);
}

TEST(RouterTest, TheChoiceBiasChoosesAndDoesNotWeigh) {
  RouterSpec router;
  router.gate = RouterGate::kSigmoid;
  router.scale = 2.5f;
  const std::vector<ExpertChoice> choices = Choose(router, {2, 1, 0}, 2, {0, 0, 5});
  EXPECT_EQ(choices[0].expert, 2);
  EXPECT_EQ(choices[1].expert, 0);
  const float sum = Sigmoid(0) + Sigmoid(2);
  EXPECT_NEAR(choices[0].weight, 2.5f * Sigmoid(0) / sum, 1e-6);
  EXPECT_NEAR(choices[1].weight, 2.5f * Sigmoid(2) / sum, 1e-6);
}

TEST(RouterTest, OnlyTheBestGroupsAreChosenFrom) {
  RouterSpec router;
  router.gate = RouterGate::kSigmoid;
  router.group_count = 3;
  router.group_used_count = 1;
  router.group_score_count = 2;
  // The best expert is alone in its group; the second group's two sum highest.
  const std::vector<ExpertChoice> choices = Choose(router, {4, -9, 3, 3, 0, 0}, 2);
  EXPECT_EQ(choices[0].expert, 2);
  EXPECT_EQ(choices[1].expert, 3);
}

TEST(RouterTest, GroupsMayBeScoredByTheirBestAlone) {
  RouterSpec router;
  router.group_count = 3;
  router.group_used_count = 1;
  const std::vector<ExpertChoice> choices = Choose(router, {4, -9, 3, 3, 0, 0}, 2);
  EXPECT_EQ(choices[0].expert, 0);
  EXPECT_EQ(choices[1].expert, 1);
}

TEST(RouterTest, AScoreThatIsNotFiniteIsNotHidden) {
  for (const RouterGate gate :
       {RouterGate::kSoftmax, RouterGate::kSigmoid, RouterGate::kChosenSoftmax}) {
    RouterSpec router;
    router.gate = gate;
    const std::vector<ExpertChoice> choices =
        Choose(router, {std::numeric_limits<float>::quiet_NaN(), 1, 2}, 3);
    EXPECT_TRUE(std::isnan(choices[0].weight)) << static_cast<int>(gate);
  }
}

}  // namespace
}  // namespace baton
