#include "proto/credits.h"

#include <atomic>
#include <thread>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(CreditsTest, AreTakenOnce) {
  Credits credits;
  std::atomic<int> taken{0};
  std::thread taker([&] {
    while (credits.Take()) ++taken;
  });
  for (int i = 0; i < 100; ++i) credits.Add(3);
  while (taken < 300) std::this_thread::yield();
  credits.Close();
  taker.join();
  EXPECT_EQ(taken, 300);
}

TEST(CreditsTest, AreWorthNothingOnceClosed) {
  Credits credits;
  credits.Add(1);
  credits.Close();
  EXPECT_FALSE(credits.Take());
}

}  // namespace
}  // namespace baton
