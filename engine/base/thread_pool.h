// One pool of compute threads per process.
//
// Run() splits a step into `task_count` small pieces. Each thread has a run of neighbouring pieces,
// which it takes one by one in ascending order, so that it reads memory in one stream; a thread
// that has done its own takes from the others'. A job ends when its pieces are done, whether or not
// every thread has come to it: a core that is lost to a neighbour costs its share of the work and
// not a stall of all the others. Which
// thread runs a task must never change its result (the numeric contract), so a task owns its
// outputs and no task continues another's sum.
#ifndef BATON_ENGINE_BASE_THREAD_POOL_H_
#define BATON_ENGINE_BASE_THREAD_POOL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace baton {

class ThreadPool {
 public:
  // `thread_count` >= 1 counts the caller of Run(), so 1 starts no thread at all.
  explicit ThreadPool(int thread_count);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int thread_count() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls body(task, thread) for every task in [0, task_count), and returns when all are done.
  // `thread` in [0, thread_count()) names the scratch that the call may use. The caller takes part.
  // One Run() at a time; body must not call Run().
  template <typename Body>
  void Run(int64_t task_count, const Body& body) {
    RunErased(
        task_count,
        [](const void* context, int64_t task, int thread) {
          (*static_cast<const Body*>(context))(task, thread);
        },
        &body);
  }

 private:
  using TaskFunction = void (*)(const void* context, int64_t task, int thread);

  void RunErased(int64_t task_count, TaskFunction function, const void* context);
  void ThreadMain(int thread);
  void TakeTasks(int thread);

  // Pieces [next, end) are still to be taken. A cache line each: threads count in their own.
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  // True when this thread may work on the present job; it must call Leave() afterwards.
  bool Join();
  void Leave();

  // Of the present job; written while the gate is closed and nobody is inside.
  TaskFunction function_ = nullptr;
  const void* context_ = nullptr;
  std::vector<Share> shares_;  // by thread
  // Threads of the pool inside the present job, and whether more may come in (kGateOpen).
  std::atomic<uint32_t> gate_{0};
  std::atomic<uint64_t> job_{0};  // counts jobs; a change wakes the threads
  std::atomic<bool> stop_{false};
  std::atomic<int> sleeping_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> threads_;
};

}  // namespace baton

#endif  // BATON_ENGINE_BASE_THREAD_POOL_H_
