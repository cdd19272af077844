#include "coordinator/api/background.h"

#include <optional>
#include <utility>

namespace baton {

Background::Background(size_t limit_bytes)
    : limit_bytes_(limit_bytes), thread_([this] { ThreadMain(); }) {}

bool Background::Run(size_t bytes, std::function<void()> work) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (waiting_bytes_ > 0 && waiting_bytes_ + bytes > limit_bytes_) return false;
    waiting_bytes_ += bytes;
  }
  queue_.Push({bytes, std::move(work)});
  return true;
}

void Background::Stop() {
  std::thread thread;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    thread.swap(thread_);
  }
  queue_.Close();
  if (thread.joinable()) thread.join();
}

void Background::ThreadMain() {
  while (const std::optional<Work> work = queue_.Pop()) {
    work->run();
    const std::lock_guard<std::mutex> lock(mutex_);
    waiting_bytes_ -= work->bytes;
  }
}

}  // namespace baton
