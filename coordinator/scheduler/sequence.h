// One answer in the making: its tokens, and how far they have been evaluated.
#ifndef BATON_COORDINATOR_SCHEDULER_SEQUENCE_H_
#define BATON_COORDINATOR_SCHEDULER_SEQUENCE_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "coordinator/scheduler/kv_cache.h"
#include "coordinator/scheduler/prompt_lookup.h"
#include "coordinator/scheduler/request.h"
#include "engine/pipeline/batch.h"

namespace baton {

// (request, choice): the order in which sequences are served and, reversed, preempted.
using SequenceId = std::pair<uint64_t, int>;

// Prompt and answer are one run of tokens. What has not been fed to the pipeline is fed in chunks;
// the step that feeds the last known token samples the next one. So a prompt, an answer that goes
// on, and one that starts again after it was preempted, are the same.
struct Sequence {
  Sequence(SequenceId sequence_id, const Request& its_request)
      : id(sequence_id),
        request(its_request),
        tokens(its_request.prompt),
        score_from(its_request.score_after),
        drafts(its_request.speculation) {}

  int32_t token_count() const { return static_cast<int32_t>(tokens.size()); }
  int32_t unfed_count() const { return token_count() - fed; }
  int32_t answer_count() const {
    return token_count() - static_cast<int32_t>(request.prompt.size());
  }

  // Rows of the tokens [fed, fed + count), and of `draft` behind them; the block table is empty.
  Span MakeSpan(int32_t count, const std::vector<int32_t>& draft) const;
  // What is wanted of that span.
  OutputSpec MakeOutput(int32_t count, int32_t draft_count) const;

  const SequenceId id;
  const Request& request;
  std::vector<int32_t> tokens;        // prompt and answer
  int32_t fed = 0;                    // tokens that have been submitted, the first ones
  int32_t fed_from = 0;               // of them, the first that was not found in the cache
  int32_t score_from;                 // first row whose score has not come yet; -1: none is wanted
  bool answering = false;             // each step feeds the last token and gives the next
  int32_t steps_in_flight = 0;        // that have a span of it
  uint64_t last_step = ~uint64_t{0};  // that has one
  int32_t life = 0;  // times that it was preempted: a span of an earlier life says nothing of the
                     // blocks of this one
  SequenceBlocks blocks;
  PromptLookup drafts;

 private:
  OutputSpec ScoreRows(int32_t begin, int32_t end) const;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_SEQUENCE_H_
