// A pipeline for tests: a language in which the next token is a function of all before it, computed
// from what was written into KV blocks, so that a wrong position, block or order shows. Where
// layers have a window, what their blocks hold is checked: a span whose rows would see anything but
// their own sequence fails.
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
#include "engine/model/cache_groups.h"
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

  // The tokens that the language is given are those that the first of the cache groups sees.
  explicit FakePipeline(int stage_count, Language language = FakeNextToken,
                        std::vector<CacheGroup> groups = {{}})
      : stage_count_(stage_count),
        language_(std::move(language)),
        groups_(std::move(groups)),
        cache_(groups_.size()) {}

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
    // As layers do: all rows are stored before one attends.
    for (const Span& span : batch.spans) Store(span);
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
  // What a position's K and V are made of: its token, and all before it.
  struct Slot {
    int32_t token = -7;  // where no step has written
    uint64_t history = 0;
    bool operator==(const Slot& other) const = default;
  };

  static uint64_t Continue(uint64_t history, int32_t token) {
    return (history + static_cast<uint64_t>(token) + 1) * 6364136223846793005u;
  }

  bool IsPoisoned(const Span& span) const {
    return std::find(span.tokens.begin(), span.tokens.end(), poison) != span.tokens.end();
  }

  void Store(const Span& span) {
    if (IsPoisoned(span)) return;
    for (int32_t row = 0; row < span.row_count(); ++row) {
      const int32_t position = span.first_position + row;
      const uint64_t before = position == 0 ? 0 : SlotAt(span, 0, position - 1).history;
      const Slot slot = {span.tokens[row], Continue(before, span.tokens[row])};
      for (size_t i = 0; i < groups_.size(); ++i) SlotAt(span, i, position) = slot;
    }
  }

  // First position that the rows of a span see.
  int32_t FirstSeen(const Span& span, size_t group) const {
    const int32_t window = groups_[group].window;
    return window == 0 ? 0 : std::max(0, span.first_position - window + 1);
  }

  // Each position follows the one before it, and is the same in all groups that see it.
  absl::Status CheckBlocks(const Span& span) {
    size_t table_size = 0;
    for (const CacheGroup& group : groups_) {
      table_size += group.BlocksOf(span.first_position, span.row_count()).size();
    }
    if (span.block_table.size() != table_size) return absl::InternalError("a wrong block table");
    for (size_t i = 0; i < groups_.size(); ++i) {
      const int32_t end = span.first_position + span.row_count();
      for (int32_t position = FirstSeen(span, i); position < end; ++position) {
        const Slot& slot = SlotAt(span, i, position);
        const bool has_before = position > FirstSeen(span, i);
        const uint64_t before = has_before ? SlotAt(span, i, position - 1).history : 0;
        const bool follows = slot.history == Continue(before, slot.token);
        if (slot == SlotAt(span, 0, position) && (follows || (!has_before && position > 0)))
          continue;
        return absl::InternalError(
            absl::StrCat("group ", i, " holds another sequence at position ", position));
      }
    }
    return absl::OkStatus();
  }

  SpanOutput Run(const Span& span, const OutputSpec& spec) {
    SpanOutput output;
    if (IsPoisoned(span)) {
      output.status = absl::InternalError("not finite");
      return output;
    }
    output.status = CheckBlocks(span);
    if (!output.status.ok()) return output;
    std::vector<int32_t> tokens;
    const int32_t end = span.first_position + span.row_count();
    const int32_t first_seen = FirstSeen(span, 0);
    for (int32_t position = first_seen; position < end; ++position) {
      tokens.push_back(SlotAt(span, 0, position).token);
    }
    const auto seen = [&](int32_t row) {
      const int32_t count = span.first_position + row + 1 - first_seen;
      const auto all = absl::MakeConstSpan(tokens).first(count);
      const int32_t window = groups_[0].window;
      return window == 0 || count <= window ? all : all.last(window);
    };
    if (spec.kind != OutputSpec::Kind::kNone) asked.push_back(spec);
    if (spec.kind == OutputSpec::Kind::kSample) {
      for (int32_t i = 0; i < spec.sampled_rows; ++i) {
        const int32_t row = span.row_count() - spec.sampled_rows + i;
        // The number drawn is the counter's: at the wrong position it would be another.
        const uint64_t shift = spec.sample.counter + i - (span.first_position + row + 1);
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

  Slot& SlotAt(const Span& span, size_t group, int32_t position) {
    int32_t entry = 0;  // of the block table
    for (size_t i = 0; i < group; ++i) {
      entry += groups_[i].BlocksOf(span.first_position, span.row_count()).size();
    }
    const int32_t first = groups_[group].BlocksOf(span.first_position, span.row_count()).begin;
    const int32_t block = span.block_table.at(entry + position / kKvBlockTokens - first);
    const size_t slot = static_cast<size_t>(block) * kKvBlockTokens + position % kKvBlockTokens;
    if (cache_[group].size() <= slot) cache_[group].resize(slot + 1);
    return cache_[group][slot];
  }

  const int stage_count_;
  const Language language_;
  const std::vector<CacheGroup> groups_;
  std::mutex mutex_;
  uint64_t submitted_ = 0;
  std::deque<std::pair<Batch, std::vector<OutputSpec>>> queue_;
  std::vector<std::vector<Slot>> cache_;  // by cache group, then slot of all blocks
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_FAKE_PIPELINE_H_
