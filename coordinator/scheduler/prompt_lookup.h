// Drafts without a model: text repeats itself.
#ifndef BATON_COORDINATOR_SCHEDULER_PROMPT_LOOKUP_H_
#define BATON_COORDINATOR_SCHEDULER_PROMPT_LOOKUP_H_

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "coordinator/scheduler/speculation.h"
#include "coordinator/scheduler/step_times.h"

namespace baton {

// Tokens proposed at most for one step: what is beyond is rarely right, and rows cost time.
inline constexpr int32_t kMaxDraft = 12;

// The drafts of one sequence, and how well they fare. Not thread-safe.
class PromptLookup {
 public:
  explicit PromptLookup(Speculation mode) : mode_(mode) {}

  // What may follow `tokens`, which have only grown since the last call: what followed the last
  // time that the same few tokens stood there. Empty where they never did, or where it would not
  // pay in a step of `step_rows` other rows. `most`: tokens that are wanted.
  std::vector<int32_t> Draft(const std::vector<int32_t>& tokens, int32_t most,
                             const StepTimes& times, int32_t step_rows);

  // Of the last draft's tokens the first `accepted` were right.
  void Learn(int32_t drafted, int32_t accepted);

 private:
  void Index(const std::vector<int32_t>& tokens);
  int32_t LengthThatPays(const StepTimes& times, int32_t step_rows) const;

  const Speculation mode_;
  std::unordered_map<uint64_t, int32_t> follows_;  // position after the last such few tokens
  int32_t indexed_ = 0;                            // tokens whose predecessors are in it
  double acceptance_ = 0.5;                        // of a drafted token, a moving average
  int32_t idle_steps_ = 0;                         // since one was last tried
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_PROMPT_LOOKUP_H_
