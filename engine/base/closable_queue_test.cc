#include "engine/base/closable_queue.h"

#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(ClosableQueueTest, KeepsTheOrderBetweenThreads) {
  constexpr int kItems = 10000;
  ClosableQueue<std::unique_ptr<int>> queue;
  std::thread producer([&] {
    for (int i = 0; i < kItems; ++i) queue.Push(std::make_unique<int>(i));
  });
  for (int i = 0; i < kItems; ++i) ASSERT_EQ(**queue.Pop(), i);
  producer.join();
}

TEST(ClosableQueueTest, TellsWhetherAPopWouldWait) {
  ClosableQueue<int> queue;
  EXPECT_FALSE(queue.WillPop());
  queue.Push(1);
  queue.Push(2);
  EXPECT_TRUE(queue.WillPop());
  queue.Pop();
  EXPECT_TRUE(queue.WillPop());
  queue.Pop();
  EXPECT_FALSE(queue.WillPop());
  queue.Close();
  EXPECT_TRUE(queue.WillPop());
}

TEST(ClosableQueueTest, GivesOneThatIsWantedOutOfTurn) {
  ClosableQueue<int> queue;
  for (const int item : {1, 2, 3, 4}) queue.Push(item);
  const auto is_even = [](int item) { return item % 2 == 0; };
  EXPECT_EQ(queue.PopIf(is_even), 2);
  EXPECT_EQ(queue.PopIf(is_even), 4);
  EXPECT_EQ(queue.PopIf(is_even), std::nullopt);
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.PopIf([](int) { return true; }), 3);
  EXPECT_FALSE(queue.WillPop());
}

TEST(ClosableQueueTest, CloseWakesWhoeverWaitsAndDropsWhatIsLeft) {
  ClosableQueue<int> waiting;
  std::thread consumer([&] { EXPECT_EQ(waiting.Pop(), std::nullopt); });
  waiting.Close();
  consumer.join();
  ClosableQueue<int> full;
  full.Push(1);
  full.Close();
  full.Push(2);
  EXPECT_EQ(full.Pop(), std::nullopt);
}

}  // namespace
}  // namespace baton
