#include "engine/base/spin.h"

#include <chrono>

#include "gtest/gtest.h"

namespace baton {
namespace {

using std::chrono::milliseconds;

// More than any of these tests waits.
constexpr std::chrono::minutes kForever{10};

TEST(SpinTest, EndsWhenReadyOrWhenTimeIsUpOrWhenTold) {
  int looks = 0;
  EXPECT_TRUE(Spin(kForever, [&] { return ++looks == 1000; }));
  EXPECT_FALSE(Spin(milliseconds(1), [] { return false; }));
  EXPECT_FALSE(Spin(
      kForever, [] { return false; }, [] { return false; }));
}

// A core from which every yield stays away so long, on a clock that stands still otherwise.
class PoliteSpinnerTest : public testing::Test {
 protected:
  PoliteSpinner::Clock::time_point now_{milliseconds(1)};
  milliseconds away_{0};
  int yields_ = 0;
  PoliteSpinner spinner_{[this] {
                           ++yields_;
                           now_ += away_;
                         },
                         [this] { return now_; }};
};

TEST_F(PoliteSpinnerTest, SpinsOnWhileNobodyKeepsTheCore) {
  EXPECT_TRUE(spinner_.Wait(kForever, [this] { return yields_ == 100; }));
}

TEST_F(PoliteSpinnerTest, StopsWhereSomebodyStaysAndPausesLongerEachTime) {
  away_ = milliseconds(3);
  for (const int ms : {10, 20, 40, 80, 160, 320, 640, 1000, 1000}) {
    const int before = yields_;
    EXPECT_FALSE(spinner_.Wait(kForever, [] { return false; }));
    EXPECT_EQ(yields_, before + 1);
    now_ += milliseconds(ms - 1);
    EXPECT_FALSE(spinner_.Wait(kForever, [] { return false; }));
    EXPECT_EQ(yields_, before + 1) << "spun again before " << ms << " ms were over";
    now_ += milliseconds(1);
  }
  // Somebody who has left is forgotten.
  away_ = milliseconds(0);
  EXPECT_TRUE(spinner_.Wait(kForever, [until = yields_ + 10, this] { return yields_ == until; }));
  away_ = milliseconds(3);
  EXPECT_FALSE(spinner_.Wait(kForever, [] { return false; }));
  const int before = yields_;
  now_ += milliseconds(10);
  EXPECT_FALSE(spinner_.Wait(kForever, [] { return false; }));
  EXPECT_EQ(yields_, before + 1);
}

}  // namespace
}  // namespace baton
