#include "engine/base/spin.h"

#include <chrono>
#include <thread>

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

TEST(PoliteSpinnerTest, SpinsOnWhileNobodyKeepsTheCore) {
  int yields = 0;
  PoliteSpinner spinner([&] { ++yields; });
  EXPECT_TRUE(spinner.Wait(kForever, [&] { return yields == 100; }));
}

TEST(PoliteSpinnerTest, LeavesTheCoreToWhoeverStaysAndComesBackLater) {
  int yields = 0;
  PoliteSpinner spinner([&] {
    ++yields;
    std::this_thread::sleep_for(milliseconds(5));
  });
  const auto never = [] { return false; };
  EXPECT_FALSE(spinner.Wait(kForever, never));
  EXPECT_EQ(yields, 1);
  // Each try is one yield, and the pause after it twice as long as the one before: ten of them do
  // not fit, from 10 ms up.
  const auto end = std::chrono::steady_clock::now() + milliseconds(300);
  while (std::chrono::steady_clock::now() < end) EXPECT_FALSE(spinner.Wait(kForever, never));
  EXPECT_GT(yields, 1);
  EXPECT_LT(yields, 10);
}

}  // namespace
}  // namespace baton
