// Backpressure on an edge: a step may be sent for each credit that the receiver has given.
#ifndef BATON_PROTO_CREDITS_H_
#define BATON_PROTO_CREDITS_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace baton {

// Thread-safe.
class Credits {
 public:
  void Add(uint32_t count) {
    std::lock_guard<std::mutex> lock(mutex_);
    count_ += count;
    changed_.notify_all();
  }
  // Waits for a credit and takes it; false once closed.
  bool Take() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || count_ > 0; });
    if (closed_) return false;
    --count_;
    return true;
  }
  void Close() {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t count_ = 0;
  bool closed_ = false;
};

}  // namespace baton

#endif  // BATON_PROTO_CREDITS_H_
