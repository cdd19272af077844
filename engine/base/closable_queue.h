// A queue between two threads. It has no bound of its own: who pushes has one.
#ifndef BATON_ENGINE_BASE_CLOSABLE_QUEUE_H_
#define BATON_ENGINE_BASE_CLOSABLE_QUEUE_H_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace baton {

// Thread-safe.
template <typename T>
class ClosableQueue {
 public:
  // Dropped once closed.
  void Push(T item) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return;
    items_.push_back(std::move(item));
    will_pop_ = true;
    changed_.notify_one();
  }
  // Waits for an item; nothing once closed, whatever is still in it.
  std::optional<T> Pop() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || !items_.empty(); });
    if (closed_) return std::nullopt;
    T item = std::move(items_.front());
    items_.pop_front();
    will_pop_ = !items_.empty();
    return item;
  }
  // The first item of which `wanted(item)` is true, if there is one now.
  template <typename Wanted>
  std::optional<T> PopIf(const Wanted& wanted) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find_if(items_.begin(), items_.end(), wanted);
    if (found == items_.end()) return std::nullopt;
    T item = std::move(*found);
    items_.erase(found);
    will_pop_ = closed_ || !items_.empty();
    return item;
  }
  // Whether a Pop() would return at once. Takes no lock.
  bool WillPop() const { return will_pop_.load(std::memory_order_acquire); }
  void Close() {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    will_pop_ = true;
    items_.clear();
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> items_;
  bool closed_ = false;
  std::atomic<bool> will_pop_{false};  // written under the mutex
};

}  // namespace baton

#endif  // BATON_ENGINE_BASE_CLOSABLE_QUEUE_H_
