// A thread for what would hold up those that serve everybody.
#ifndef BATON_COORDINATOR_API_BACKGROUND_H_
#define BATON_COORDINATOR_API_BACKGROUND_H_

#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>

#include "engine/base/closable_queue.h"

namespace baton {

// Runs one piece of work after the other. Thread-safe.
class Background {
 public:
  // `limit_bytes`: of the work that waits, by what Run() is told of it.
  explicit Background(size_t limit_bytes);
  ~Background() { Stop(); }

  // False, and nothing is run, where the work of others already fills the room.
  bool Run(size_t bytes, std::function<void()> work);
  // Waits for the work under way, and drops the rest.
  void Stop();

 private:
  struct Work {
    size_t bytes;
    std::function<void()> run;
  };

  void ThreadMain();

  const size_t limit_bytes_;
  ClosableQueue<Work> queue_;
  std::mutex mutex_;  // of what follows
  size_t waiting_bytes_ = 0;
  std::thread thread_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_API_BACKGROUND_H_
