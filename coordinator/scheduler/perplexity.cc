#include "coordinator/scheduler/perplexity.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
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

// What rows [begin, end) of a window are to score: a row scores the token after it, and the first
// that is scored stands at size/2 + 1.
OutputSpec ScoreRows(const std::vector<int32_t>& window, int32_t begin, int32_t end) {
  const int32_t size = static_cast<int32_t>(window.size());
  const int32_t first = std::max(begin, size / 2);
  const int32_t last = std::min(end, size - 1);
  OutputSpec spec;
  if (first >= last) return spec;
  spec.kind = OutputSpec::Kind::kScore;
  spec.first_scored_row = first - begin;
  spec.targets.assign(window.begin() + first + 1, window.begin() + last + 1);
  return spec;
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
    StepQueue& steps, Sequence& sequence,
    const std::function<bool(int64_t done, int64_t total, double so_far)>& progress) {
  RETURN_IF_ERROR(CheckPerplexityLengths(static_cast<int64_t>(tokens.size()), window));
  const int64_t window_count = static_cast<int64_t>(tokens.size()) / window;
  const int64_t scored_per_window = window - window / 2 - 1;
  Scores scores;
  bool cancelled = false;
  const auto done = [&](SpanOutput output) {
    scores.Add(output.scores);
    if (!progress || output.scores.empty() || scores.count() % scored_per_window != 0) return;
    const int64_t window_done = scores.count() / scored_per_window;
    cancelled |= !progress(window_done, window_count, scores.Result().perplexity);
  };
  absl::Status status;
  for (int64_t i = 0; i < window_count && status.ok() && !cancelled; ++i) {
    std::vector<int32_t> part(tokens.begin() + i * window, tokens.begin() + (i + 1) * window);
    if (bos.has_value()) part.front() = *bos;
    status = sequence.Submit(
        part, [&](int32_t begin, int32_t end) { return ScoreRows(part, begin, end); }, done);
  }
  status.Update(steps.Drain());
  RETURN_IF_ERROR(status);
  if (cancelled) return absl::CancelledError("the measurement was ended early");
  return scores.Result();
}

}  // namespace baton
