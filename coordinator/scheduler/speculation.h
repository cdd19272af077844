#ifndef BATON_COORDINATOR_SCHEDULER_SPECULATION_H_
#define BATON_COORDINATOR_SCHEDULER_SPECULATION_H_

namespace baton {

// Drafting without a second model: what followed the same few tokens earlier in prompt or answer
// is proposed, and verified in one step. The answer is the same, bit for bit, with and without.
enum class Speculation {
  kOff,
  kOn,
  kAuto,  // as long as enough of what is proposed turns out right
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_SPECULATION_H_
