#include "coordinator/scheduler/perplexity.h"

#include <cmath>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/scheduler/complete.h"
#include "engine/base/deterministic_math.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

// Below this no token of a window is scored that has seen another scored one.
constexpr int32_t kMinWindow = 4;

// Sums of x = -log p, in the order of the text.
class Scores {
 public:
  void Add(const std::vector<double>& log_probabilities) {
    for (const double log_p : log_probabilities) {
      sum_ -= log_p;
      sum_of_squares_ += log_p * log_p;
      ++count_;
    }
  }
  int64_t count() const { return count_; }
  Perplexity Result() const {
    const double mean = sum_ / static_cast<double>(count_);
    const double variance = sum_of_squares_ / static_cast<double>(count_) - mean * mean;
    Perplexity result;
    result.perplexity = Exp(mean);
    result.token_count = count_;
    if (variance > 0 && count_ > 1) {
      result.error = result.perplexity * std::sqrt(variance / static_cast<double>(count_ - 1));
    }
    return result;
  }

 private:
  double sum_ = 0;
  double sum_of_squares_ = 0;
  int64_t count_ = 0;
};

// Windows that are under way at once: while one is finished in the last stages, the next are begun
// in the first ones.
constexpr size_t kWindowsInFlight = 4;

Request ScoreWindow(const std::vector<int32_t>& tokens, int64_t begin, int32_t size,
                    std::optional<int32_t> bos) {
  Request request;
  request.prompt.assign(tokens.begin() + begin, tokens.begin() + begin + size);
  if (bos.has_value()) request.prompt.front() = *bos;
  request.score_after = size / 2;
  request.max_tokens = 0;
  request.cache_prompt = false;
  return request;
}

}  // namespace

absl::Status CheckPerplexityLengths(int64_t token_count, int32_t window) {
  if (window < kMinWindow) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a context of ", window, " tokens cannot be scored; expected at least ", kMinWindow));
  }
  if (token_count < window) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the text has ", token_count, " tokens; expected at least one context of ", window));
  }
  return absl::OkStatus();
}

absl::StatusOr<Perplexity> MeasurePerplexity(
    const std::vector<int32_t>& tokens, int32_t window, std::optional<int32_t> bos,
    Scheduler& scheduler,
    const std::function<bool(int64_t done, int64_t total, double so_far)>& progress) {
  RETURN_IF_ERROR(CheckPerplexityLengths(static_cast<int64_t>(tokens.size()), window));
  const int64_t window_count = static_cast<int64_t>(tokens.size()) / window;
  Scores scores;
  std::deque<PendingCompletion> pending;
  int64_t started = 0;
  for (int64_t done = 1; done <= window_count; ++done) {
    while (started < window_count && pending.size() < kWindowsInFlight) {
      ASSIGN_OR_RETURN(
          PendingCompletion next,
          PendingCompletion::Start(scheduler, ScoreWindow(tokens, started * window, window, bos)));
      pending.push_back(std::move(next));
      ++started;
    }
    ASSIGN_OR_RETURN(const Completion completion, pending.front().Wait());
    pending.pop_front();
    scores.Add(completion.scores);
    if (progress && !progress(done, window_count, scores.Result().perplexity)) {
      return absl::CancelledError("the measurement was ended early");
    }
  }
  return scores.Result();
}

}  // namespace baton
