#include "coordinator/http/exchange.h"

#include <utility>

namespace baton {

void Exchange::Send(HttpResponse response) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (ended_) return;
    output_.whole = std::move(response);
    output_.ended = ended_ = true;
  }
  Wake();
}

void Exchange::SendEvents(std::string events) {
  bool too_slow = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (ended_ || gone_) return;
    output_.streaming = true;
    output_.events += events;
    too_slow = output_.events.size() > unsent_limit_;
  }
  if (too_slow) SetGone();
  Wake();
}

void Exchange::End() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (ended_) return;
    output_.ended = ended_ = true;
  }
  Wake();
}

void Exchange::OnGone(std::function<void()> gone) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (ended_) return;
    if (!gone_) {
      on_gone_ = std::move(gone);
      return;
    }
  }
  gone();
}

Exchange::Output Exchange::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  woken_ = false;
  Output taken = std::exchange(output_, Output());
  output_.streaming = taken.streaming;
  return taken;
}

void Exchange::SetGone() {
  std::function<void()> on_gone;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    gone_ = true;
    on_gone = std::exchange(on_gone_, nullptr);
    if (ended_) return;
  }
  if (on_gone) on_gone();
}

bool Exchange::gone() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return gone_;
}

void Exchange::Wake() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (std::exchange(woken_, true)) return;
  }
  wake_();
}

}  // namespace baton
