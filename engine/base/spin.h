// Waiting awake. A core that goes to sleep takes tens of microseconds to come back, more in a
// virtual machine: too long where the next piece of work is nearer than that.
#ifndef BATON_ENGINE_BASE_SPIN_H_
#define BATON_ENGINE_BASE_SPIN_H_

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>
#include <utility>

namespace baton {

// A hint to the processor that this thread only looks and waits.
inline void PauseSpinning() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// True as soon as `ready()` is; false when it was not within `time`, or when `go_on()`, which is
// asked every microsecond or so, is false.
template <typename Ready, typename GoOn>
bool Spin(std::chrono::nanoseconds time, const Ready& ready, const GoOn& go_on) {
  constexpr int kLooksPerClock = 64;
  const auto end = std::chrono::steady_clock::now() + time;
  do {
    for (int i = 0; i < kLooksPerClock; ++i) {
      if (ready()) return true;
      PauseSpinning();
    }
  } while (go_on() && std::chrono::steady_clock::now() < end);
  return ready();
}

template <typename Ready>
bool Spin(std::chrono::nanoseconds time, const Ready& ready) {
  return Spin(time, ready, [] { return true; });
}

// Spins for milliseconds, on a core that nobody else wants. Whoever gives a core away to a busy
// neighbour gets it back a time slice later, and owes him that slice besides. So it stops there,
// and begins again after a pause, which doubles as long as the neighbour stays. Of one thread.
class PoliteSpinner {
 public:
  using Clock = std::chrono::steady_clock;

  PoliteSpinner() : PoliteSpinner(std::this_thread::yield, Clock::now) {}
  // For tests: what gives the core to whoever else wants it, and what tells how long that took.
  PoliteSpinner(std::function<void()> yield, std::function<Clock::time_point()> now)
      : yield_(std::move(yield)), now_(std::move(now)) {}

  // As Spin().
  template <typename Ready>
  bool Wait(std::chrono::nanoseconds time, const Ready& ready) {
    if (now_() < resume_) return ready();
    if (!Spin(time, ready, [this] { return GiveWay(); })) return false;
    pause_ = kShortestPause;
    return true;
  }

 private:
  // Far longer than a thread takes that moves a message on, shorter than Linux's time slice.
  static constexpr std::chrono::milliseconds kVisit{1};
  // A thread of our own that was put on the wrong core is moved within a step or two.
  static constexpr std::chrono::milliseconds kShortestPause{10};
  static constexpr std::chrono::milliseconds kLongestPause{1000};

  // False when the core is wanted by somebody who stays.
  bool GiveWay() {
    const Clock::time_point left = now_();
    yield_();
    const Clock::time_point back = now_();
    if (back - left < kVisit) return true;
    resume_ = back + pause_;
    pause_ = std::min(2 * pause_, kLongestPause);
    return false;
  }

  const std::function<void()> yield_;
  const std::function<Clock::time_point()> now_;
  std::chrono::milliseconds pause_ = kShortestPause;
  Clock::time_point resume_{};
};

}  // namespace baton

#endif  // BATON_ENGINE_BASE_SPIN_H_
