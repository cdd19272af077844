#include "engine/pipeline/finite.h"

#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(FiniteTest, OneValueIsEnough) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    for (const int count : {1, 63, 64, 65, 200}) {
      std::vector<float> values(count, std::numeric_limits<float>::max());
      EXPECT_TRUE(IsFinite(values.data(), count));
      for (float& value : values) {
        value = bad;
        EXPECT_FALSE(IsFinite(values.data(), count));
        value = -0.0f;
      }
    }
  }
  EXPECT_TRUE(IsFinite(nullptr, 0));
}

}  // namespace
}  // namespace baton
