#include "engine/model/router.h"

#include <algorithm>
#include <array>
#include <limits>

#include "engine/base/check.h"
#include "engine/kernels/exp.h"

namespace baton {
namespace {

using ExpertValues = std::array<float, kMaxExperts>;

// Never chosen before any expert of a group that may be chosen from.
constexpr float kExcluded = -std::numeric_limits<float>::infinity();
// Keeps the weights finite where all that were chosen are nearly 0: the smallest normal half.
constexpr float kSmallestWeightSum = 0x1p-14f;

float Sigmoid(float x) { return 1.0f / (1.0f + ExpFloat(-x)); }

void Softmax(absl::Span<const float> scores, float* out) {
  const float highest = *std::max_element(scores.begin(), scores.end());
  float sum = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    out[i] = ExpFloat(scores[i] - highest);
    sum += out[i];
  }
  for (size_t i = 0; i < scores.size(); ++i) out[i] /= sum;
}

// The gate's value of each expert.
void Gate(RouterGate gate, absl::Span<const float> scores, ExpertValues& out) {
  switch (gate) {
    case RouterGate::kSoftmax:
      return Softmax(scores, out.data());
    case RouterGate::kSigmoid:
      std::transform(scores.begin(), scores.end(), out.begin(), Sigmoid);
      return;
    case RouterGate::kChosenSoftmax:
      std::copy(scores.begin(), scores.end(), out.begin());
      return;
  }
}

// The index of the highest value that is not `taken`, the lowest among equals.
template <typename IsTaken>
int Best(absl::Span<const float> values, const IsTaken& is_taken) {
  int best = -1;
  for (int i = 0; i < static_cast<int>(values.size()); ++i) {
    if (!is_taken(i) && (best < 0 || values[i] > values[best])) best = i;
  }
  return best;
}

// The sum of the best one or two of a group.
float GroupScore(absl::Span<const float> group, int count) {
  const int first = Best(group, [](int) { return false; });
  if (count == 1) return group[first];
  const int second = Best(group, [first](int i) { return i == first; });
  return second < 0 ? group[first] : group[first] + group[second];
}

// Excludes the experts of all groups but the best.
void LimitGroups(const RouterSpec& router, absl::Span<float> values) {
  const size_t size = values.size() / router.group_count;
  ExpertValues scores;
  for (int i = 0; i < router.group_count; ++i)
    scores[i] = GroupScore(values.subspan(i * size, size), router.group_score_count);
  std::array<bool, kMaxExperts> used = {};
  const absl::Span<const float> groups(scores.data(), router.group_count);
  for (int rank = 0; rank < router.group_used_count; ++rank) {
    used[Best(groups, [&used](int i) { return used[i]; })] = true;
  }
  for (int i = 0; i < router.group_count; ++i) {
    if (used[i]) continue;
    const absl::Span<float> group = values.subspan(i * size, size);
    std::fill(group.begin(), group.end(), kExcluded);
  }
}

void WeighChoices(const RouterSpec& router, absl::Span<ExpertChoice> choices) {
  if (router.gate == RouterGate::kChosenSoftmax) {
    ExpertValues values;
    for (size_t i = 0; i < choices.size(); ++i) values[i] = choices[i].weight;
    Softmax({values.data(), choices.size()}, values.data());
    for (size_t i = 0; i < choices.size(); ++i) choices[i].weight = values[i];
  }
  if (router.normalized) {
    float sum = 0;
    for (const ExpertChoice& choice : choices) sum += choice.weight;
    // Not std::max, which would hide a NaN.
    if (sum < kSmallestWeightSum) sum = kSmallestWeightSum;
    for (ExpertChoice& choice : choices) choice.weight /= sum;
  }
  if (router.scale == 1.0f) return;
  for (ExpertChoice& choice : choices) choice.weight *= router.scale;
}

}  // namespace

void ChooseExperts(const RouterSpec& router, absl::Span<const float> choice_bias,
                   absl::Span<const float> scores, absl::Span<ExpertChoice> choices) {
  const size_t count = scores.size();
  CHECK(count <= kMaxExperts && choices.size() <= count);
  ExpertValues gates;
  Gate(router.gate, scores, gates);
  ExpertValues values = gates;
  for (size_t i = 0; i < choice_bias.size(); ++i) values[i] += choice_bias[i];
  if (router.group_count > 1) LimitGroups(router, absl::MakeSpan(values.data(), count));
  std::array<bool, kMaxExperts> taken = {};
  for (ExpertChoice& choice : choices) {
    choice.expert = Best({values.data(), count}, [&taken](int i) { return taken[i]; });
    choice.weight = gates[choice.expert];
    taken[choice.expert] = true;
  }
  WeighChoices(router, choices);
}

}  // namespace baton
