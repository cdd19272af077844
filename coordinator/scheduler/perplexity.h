// How well a model foresees a text.
#ifndef BATON_COORDINATOR_SCHEDULER_PERPLEXITY_H_
#define BATON_COORDINATOR_SCHEDULER_PERPLEXITY_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/scheduler/scheduler.h"

namespace baton {

struct Perplexity {
  double perplexity = 0;
  double error = 0;         // the standard error, carried over to the perplexity
  int64_t token_count = 0;  // that were scored
};

// InvalidArgument when there is no full window, or a window of less than 4 tokens.
absl::Status CheckPerplexityLengths(int64_t token_count, int32_t window);

// llama.cpp's definition. `tokens` are cut in windows of `window`, of which the last is dropped
// where it is not full; a window's first token gives way to `bos` where there is one. In each, the
// tokens at window/2 + 1 to window - 1 are scored, so that all have seen half a window. With
// x = -log p of each of n tokens:
//
//   perplexity = exp(mean x)     error = perplexity sqrt((mean x^2 - (mean x)^2) / (n - 1))
//
// `progress` is called with windows done and to do, and the perplexity so far; it may be null.
// False ends it: Cancelled. Errors of CheckPerplexityLengths().
absl::StatusOr<Perplexity> MeasurePerplexity(
    const std::vector<int32_t>& tokens, int32_t window, std::optional<int32_t> bos,
    Scheduler& scheduler,
    const std::function<bool(int64_t done, int64_t total, double so_far)>& progress);

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_PERPLEXITY_H_
