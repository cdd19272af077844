#include "coordinator/api/background.h"

#include <atomic>
#include <future>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(BackgroundTest, RunsInOrderOnAThreadOfItsOwn) {
  std::string order;
  std::promise<std::thread::id> thread;
  Background background(100);
  EXPECT_TRUE(background.Run(1, [&] { order += 'a'; }));
  EXPECT_TRUE(background.Run(1, [&] { order += 'b'; }));
  EXPECT_TRUE(background.Run(1, [&] { thread.set_value(std::this_thread::get_id()); }));
  EXPECT_NE(thread.get_future().get(), std::this_thread::get_id());
  EXPECT_EQ(order, "ab");
}

TEST(BackgroundTest, HasRoomForSomeWorkThatWaits) {
  std::promise<void> started, go;
  Background background(100);
  EXPECT_TRUE(background.Run(1000, [&] {  // alone whatever its size
    started.set_value();
    go.get_future().wait();
  }));
  started.get_future().wait();
  EXPECT_FALSE(background.Run(1, [] { ADD_FAILURE() << "it was refused"; }));
  go.set_value();
  std::promise<void> done;
  while (!background.Run(99, [&] { done.set_value(); })) std::this_thread::yield();
  done.get_future().wait();
}

TEST(BackgroundTest, DropsWhatHasNotBegunWhenItStops) {
  std::promise<void> started, go;
  std::atomic<bool> ended{false};
  Background background(100);
  background.Run(1, [&] {
    started.set_value();
    go.get_future().wait();
    ended = true;
  });
  background.Run(1, [] { ADD_FAILURE() << "it should not have begun"; });
  started.get_future().wait();
  std::thread stopping([&] { background.Stop(); });
  // What waits is dropped before what is under way is waited for; nothing tells when, but the time.
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  go.set_value();
  stopping.join();
  EXPECT_TRUE(ended);
  background.Run(1, [] { ADD_FAILURE() << "it has stopped"; });
}

}  // namespace
}  // namespace baton
