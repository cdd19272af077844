#include "engine/base/thread_pool.h"

#include <chrono>

#include "engine/base/check.h"
#include "engine/base/spin.h"

namespace baton {
namespace {

// Within a forward pass jobs follow each other within microseconds, so a thread that runs dry spins
// this long before it sleeps: far longer than the gaps inside a step, far too short to be seen as
// load between requests.
constexpr auto kSpinTime = std::chrono::microseconds(60);
// Set in gate_ while threads may join the job; the other bits count those inside.
constexpr uint32_t kGateOpen = 1u << 31;

}  // namespace

ThreadPool::ThreadPool(int thread_count) : shares_(thread_count) {
  CHECK(thread_count >= 1);
  for (int i = 1; i < thread_count; ++i) threads_.emplace_back([this, i] { ThreadMain(i); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    job_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::TakeTasks(int thread) {
  const int count = thread_count();
  for (int i = 0; i < count; ++i) {
    Share& share = shares_[(thread + i) % count];
    for (;;) {
      const int64_t task = share.next.fetch_add(1, std::memory_order_relaxed);
      if (task >= share.end) break;
      function_(context_, task, thread);
    }
  }
}

void ThreadPool::ThreadMain(int thread) {
  uint64_t seen = 0;
  for (;;) {
    const auto has_job = [&] { return job_.load() != seen; };
    if (!Spin(kSpinTime, has_job)) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.fetch_add(1);
      wake_.wait(lock, has_job);
      sleeping_.fetch_sub(1);
    }
    seen = job_.load();
    if (stop_.load(std::memory_order_relaxed)) return;
    if (!Join()) continue;
    TakeTasks(thread);
    Leave();
  }
}

bool ThreadPool::Join() {
  uint32_t gate = gate_.load(std::memory_order_relaxed);
  while ((gate & kGateOpen) != 0) {
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire)) return true;
  }
  return false;
}

void ThreadPool::Leave() { gate_.fetch_sub(1, std::memory_order_release); }

void ThreadPool::RunErased(int64_t task_count, TaskFunction function, const void* context) {
  if (threads_.empty() || task_count <= 1) {
    for (int64_t task = 0; task < task_count; ++task) function(context, task, 0);
    return;
  }
  function_ = function;
  context_ = context;
  const int64_t count = thread_count();
  for (int64_t i = 0; i < count; ++i) {
    shares_[i].next.store(task_count * i / count, std::memory_order_relaxed);
    shares_[i].end = task_count * (i + 1) / count;
  }
  gate_.store(kGateOpen, std::memory_order_release);
  job_.fetch_add(1);  // sequentially consistent with sleeping_: one of the two sees the other
  if (sleeping_.load() > 0) {
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_all();
  }
  TakeTasks(0);
  gate_.fetch_and(~kGateOpen, std::memory_order_relaxed);
  // Those inside are at their last piece. One that lost its core there may take long to come back;
  // then this thread gives its own core away.
  const auto is_empty = [&] { return gate_.load(std::memory_order_acquire) == 0; };
  while (!Spin(kSpinTime, is_empty)) std::this_thread::yield();
}

}  // namespace baton
