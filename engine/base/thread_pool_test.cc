#include "engine/base/thread_pool.h"

#include <chrono>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(ThreadPoolTest, RunsEveryTaskOnce) {
  for (int thread_count : {1, 2, 5}) {
    ThreadPool pool(thread_count);
    EXPECT_EQ(pool.thread_count(), thread_count);
    for (int64_t task_count : {0, 1, 2, 7, 1000}) {
      std::vector<int> runs(task_count, 0);
      std::atomic<int> bad_thread{0};
      pool.Run(task_count, [&](int64_t task, int thread) {
        ++runs[task];
        if (thread < 0 || thread >= thread_count) ++bad_thread;
      });
      EXPECT_EQ(runs, std::vector<int>(task_count, 1));
      EXPECT_EQ(bad_thread.load(), 0);
    }
  }
}

TEST(ThreadPoolTest, WakesAfterSleep) {
  ThreadPool pool(3);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::atomic<int> sum{0};
    pool.Run(16, [&](int64_t task, int) { sum += static_cast<int>(task); });
    EXPECT_EQ(sum.load(), 120);
  }
}

TEST(ThreadPoolTest, ManySmallJobsInARow) {
  ThreadPool pool(2);
  int64_t total = 0;
  for (int i = 0; i < 20000; ++i) {
    int64_t parts[3] = {};
    pool.Run(3, [&](int64_t task, int) { parts[task] = task + 1; });
    total += parts[0] + parts[1] + parts[2];
  }
  EXPECT_EQ(total, 20000 * 6);
}

}  // namespace
}  // namespace baton
