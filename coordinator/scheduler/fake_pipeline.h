// A pipeline for tests: a language in which the next token is a function of all before it, computed
// from what was written into KV blocks, so that a wrong position, block or order shows.
#ifndef BATON_COORDINATOR_SCHEDULER_FAKE_PIPELINE_H_
#define BATON_COORDINATOR_SCHEDULER_FAKE_PIPELINE_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "engine/pipeline/local_stage.h"
#include "engine/pipeline/stage.h"

namespace baton {

inline constexpr int32_t kFakeVocabulary = 97;

// What the fake says after these tokens.
inline int32_t FakeNextToken(absl::Span<const int32_t> tokens, uint64_t seed = 0) {
  uint64_t hash = 7 + seed * 1009;
  for (const int32_t token : tokens) hash = hash * 31 + static_cast<uint64_t>(token) + 1;
  return static_cast<int32_t>(hash % kFakeVocabulary);
}

// The first `count` tokens that it says after a prompt.
inline std::vector<int32_t> FakeAnswer(std::vector<int32_t> tokens, int32_t count,
                                       uint64_t seed = 0) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < count; ++i) {
    ids.push_back(FakeNextToken(tokens, seed));
    tokens.push_back(ids.back());
  }
  return ids;
}

class FakePipeline : public Pipeline {
 public:
  using Language = std::function<int32_t(absl::Span<const int32_t> tokens, uint64_t seed)>;

  explicit FakePipeline(int stage_count, Language language = FakeNextToken)
      : stage_count_(stage_count), language_(std::move(language)) {}

  int stage_count() const override { return stage_count_; }

  absl::Status Submit(Batch batch, std::vector<OutputSpec> outputs) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (batch.step != submitted_) return absl::InvalidArgumentError("a gap in the steps");
    if (static_cast<int64_t>(submitted_) == fail_submit_at) return absl::UnavailableError("gone");
    if (static_cast<int64_t>(submitted_) == refuse_submit_at) {
      refuse_submit_at = -1;
      return absl::InvalidArgumentError("refused");
    }
    ++submitted_;
    rows.push_back(batch.row_count());
    queue_.emplace_back(std::move(batch), std::move(outputs));
    most_in_flight = std::max(most_in_flight, queue_.size());
    return absl::OkStatus();
  }

  absl::StatusOr<StepResult> Next() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto [batch, outputs] = std::move(queue_.front());
    queue_.pop_front();
    if (static_cast<int64_t>(batch.step) == fail_step) return absl::InternalError("out of memory");
    if (static_cast<int64_t>(batch.step) == lost_at) return absl::UnavailableError("lost");
    StepResult result;
    result.step = batch.step;
    const double rows = static_cast<double>(batch.row_count());
    result.stages.assign(stage_count_, StageTiming{2.0 + ms_per_row * rows});
    for (size_t i = 0; i < batch.spans.size(); ++i) {
      result.outputs.push_back(Run(batch.spans[i], outputs[i]));
    }
    return result;
  }

  absl::StatusOr<std::vector<StageStats>> Stats() override {
    return std::vector<StageStats>(stage_count_, StageStats{1, 2, 3});
  }

  int64_t fail_step = -1;         // fails alone
  int64_t lost_at = -1;           // the step with which the pipeline is gone
  int64_t fail_submit_at = -1;    // the same, found out at once
  int64_t refuse_submit_at = -1;  // once
  int32_t poison = -1;            // a span with this token is not finite
  double ms_per_row = 0;          // that each stage says it took, beside 2 ms for a step
  std::vector<int64_t> rows;      // of each step
  std::vector<OutputSpec> asked;  // every output spec that was not kNone
  size_t most_in_flight = 0;

 private:
  // Nothing is there where no step has written.
  static constexpr int32_t kNothing = -7;

  SpanOutput Run(const Span& span, const OutputSpec& spec) {
    SpanOutput output;
    if (std::find(span.tokens.begin(), span.tokens.end(), poison) != span.tokens.end()) {
      output.status = absl::InternalError("not finite");
      return output;
    }
    for (int32_t row = 0; row < span.row_count(); ++row) {
      Slot(span, span.first_position + row) = span.tokens[row];
    }
    std::vector<int32_t> tokens;
    const int32_t end = span.first_position + span.row_count();
    for (int32_t position = 0; position < end; ++position) {
      tokens.push_back(Slot(span, position));
    }
    const auto seen = [&](int32_t row) {
      return absl::MakeConstSpan(tokens).first(span.first_position + row + 1);
    };
    if (spec.kind != OutputSpec::Kind::kNone) asked.push_back(spec);
    if (spec.kind == OutputSpec::Kind::kSample) {
      for (int32_t i = 0; i < spec.sampled_rows; ++i) {
        const int32_t row = span.row_count() - spec.sampled_rows + i;
        // The number drawn is the counter's: at the wrong position it would be another.
        const uint64_t shift = spec.sample.counter + i - seen(row).size();
        SampleResult sample;
        sample.token = language_(seen(row), spec.sample.params.seed + shift);
        output.samples.push_back(sample);
      }
      if (spec.return_logits) output.logits.assign(spec.sampled_rows * kFakeVocabulary, 1.0f);
    }
    for (size_t i = 0; i < spec.targets.size(); ++i) {
      const bool foreseen =
          spec.targets[i] == FakeNextToken(seen(spec.first_scored_row + static_cast<int>(i)));
      output.scores.push_back(foreseen ? -0.5 : -2.0);
    }
    return output;
  }

  int32_t& Slot(const Span& span, int32_t position) {
    const size_t slot =
        static_cast<size_t>(span.block_table.at(position / kKvBlockTokens)) * kKvBlockTokens +
        position % kKvBlockTokens;
    if (cache_.size() <= slot) cache_.resize(slot + 1, kNothing);
    return cache_[slot];
  }

  const int stage_count_;
  const Language language_;
  std::mutex mutex_;
  uint64_t submitted_ = 0;
  std::deque<std::pair<Batch, std::vector<OutputSpec>>> queue_;
  std::vector<int32_t> cache_;  // by slot of all blocks
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_FAKE_PIPELINE_H_
