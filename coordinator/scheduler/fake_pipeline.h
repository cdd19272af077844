// A pipeline for tests: a language in which the next token is a function of all before it, computed
// from what was written into KV blocks, so that a wrong position, block or order shows.
#ifndef BATON_COORDINATOR_SCHEDULER_FAKE_PIPELINE_H_
#define BATON_COORDINATOR_SCHEDULER_FAKE_PIPELINE_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/pipeline/local_stage.h"
#include "engine/pipeline/stage.h"

namespace baton {

inline constexpr int32_t kFakeVocabulary = 97;

// What the fake says after these tokens.
inline int32_t FakeNextToken(const std::vector<int32_t>& tokens) {
  uint64_t hash = 7;
  for (const int32_t token : tokens) hash = hash * 31 + static_cast<uint64_t>(token) + 1;
  return static_cast<int32_t>(hash % kFakeVocabulary);
}

class FakePipeline : public Pipeline {
 public:
  explicit FakePipeline(int stage_count) : stage_count_(stage_count) {}

  int stage_count() const override { return stage_count_; }

  absl::Status Submit(Batch batch, std::vector<OutputSpec> outputs) override {
    if (batch.step != submitted_) return absl::InvalidArgumentError("a gap in the steps");
    if (static_cast<int64_t>(submitted_) == fail_submit_at) return absl::UnavailableError("gone");
    ++submitted_;
    rows.push_back(batch.row_count());
    queue_.emplace_back(std::move(batch), std::move(outputs));
    most_in_flight = std::max(most_in_flight, queue_.size());
    return absl::OkStatus();
  }

  absl::StatusOr<StepResult> Next() override {
    const auto [batch, outputs] = std::move(queue_.front());
    queue_.pop_front();
    if (static_cast<int64_t>(batch.step) == fail_step) return absl::InternalError("not finite");
    StepResult result;
    result.step = batch.step;
    result.stages.assign(stage_count_, StageTiming{2.0});
    for (size_t i = 0; i < batch.spans.size(); ++i) {
      result.outputs.push_back(Run(batch.spans[i], outputs[i]));
    }
    return result;
  }

  absl::StatusOr<std::vector<StageStats>> Stats() override {
    return std::vector<StageStats>(stage_count_, StageStats{1, 2, 3});
  }

  int64_t fail_step = -1;         // fails alone
  int64_t fail_submit_at = -1;    // the pipeline is gone
  std::vector<int64_t> rows;      // of each step
  std::vector<OutputSpec> asked;  // every output spec that was not kNone
  size_t most_in_flight = 0;

 private:
  SpanOutput Run(const Span& span, const OutputSpec& spec) {
    SpanOutput output;
    const bool samples = spec.kind == OutputSpec::Kind::kSample;
    for (int32_t row = 0; row < span.row_count(); ++row) {
      const int32_t position = span.first_position + row;
      const int32_t block = span.block_table.at(position / kKvBlockTokens);
      cache_[{block, position % kKvBlockTokens}] = span.tokens[row];
      const std::vector<int32_t> tokens = Read(span, position + 1);
      if (samples && row >= span.row_count() - spec.sampled_rows) {
        output.samples.push_back(
            {.token = FakeNextToken(tokens), .logprob = 0, .top_logprobs = {}});
      }
      if (spec.kind == OutputSpec::Kind::kScore && row >= spec.first_scored_row &&
          row - spec.first_scored_row < static_cast<int32_t>(spec.targets.size())) {
        const int32_t target = spec.targets[row - spec.first_scored_row];
        output.scores.push_back(target == FakeNextToken(tokens) ? -0.5 : -2.0);
      }
    }
    if (spec.kind != OutputSpec::Kind::kNone) asked.push_back(spec);
    if (spec.return_logits) output.logits.assign(spec.sampled_rows * kFakeVocabulary, 1.0f);
    return output;
  }

  std::vector<int32_t> Read(const Span& span, int32_t count) const {
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < count; ++i) {
      const auto slot = cache_.find({span.block_table[i / kKvBlockTokens], i % kKvBlockTokens});
      tokens.push_back(slot == cache_.end() ? kNothing : slot->second);
    }
    return tokens;
  }

  static constexpr int32_t kNothing = -7;  // read where a failed step did not write

  const int stage_count_;
  uint64_t submitted_ = 0;
  std::deque<std::pair<Batch, std::vector<OutputSpec>>> queue_;
  std::map<std::pair<int32_t, int32_t>, int32_t> cache_;  // (block, slot) -> token
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_FAKE_PIPELINE_H_
