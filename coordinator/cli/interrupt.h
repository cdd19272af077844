// Ctrl-C and SIGTERM.
#ifndef BATON_COORDINATOR_CLI_INTERRUPT_H_
#define BATON_COORDINATOR_CLI_INTERRUPT_H_

#include <functional>

namespace baton {

// The first signal asks for an end; a second one ends the process at once. Local workers end with
// it either way. Also makes writing to a closed pipe an error instead of a death. Once per process,
// before other threads are started.
void CatchInterrupts();

bool Interrupted();

// Readable from the first signal on, for poll().
int InterruptFd();

// As if no signal had come, where it was Ctrl-C and has ended something smaller than the program;
// false, changing nothing, after SIGTERM.
bool ForgetInterrupt();

// While one exists, `cancel` is called, from a thread of its own, when the signal comes or has
// come. Without one, the process ends as after any other error: it is starting, and there is
// nothing to finish. One at a time.
class CancelOnInterrupt {
 public:
  explicit CancelOnInterrupt(std::function<void()> cancel);
  ~CancelOnInterrupt();
  CancelOnInterrupt(const CancelOnInterrupt&) = delete;
  CancelOnInterrupt& operator=(const CancelOnInterrupt&) = delete;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_INTERRUPT_H_
