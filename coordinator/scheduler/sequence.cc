#include "coordinator/scheduler/sequence.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace baton {

int32_t DefaultPromptChunk(int stage_count, int64_t token_count) {
  if (stage_count == 1) return kMaxPromptChunk;
  // Filling and emptying the pipeline costs stage_count - 1 steps: with this many chunks in all it
  // is less than half of the time.
  const int64_t chunk = token_count / (2 * stage_count) / kMinPromptChunk * kMinPromptChunk;
  return static_cast<int32_t>(std::clamp<int64_t>(chunk, kMinPromptChunk, kMaxPromptChunk));
}

Sequence::Sequence(StepQueue& steps, KvBlockAllocator& blocks, int32_t prompt_chunk)
    : steps_(steps), blocks_(blocks), prompt_chunk_(prompt_chunk) {}

Sequence::~Sequence() { blocks_.Free(block_table_); }

absl::StatusOr<SpanOutput> Sequence::Evaluate(const std::vector<int32_t>& tokens,
                                              const OutputSpec& output) {
  CHECK(!tokens.empty());
  const auto differ =
      std::mismatch(tokens.begin(), tokens.end(), evaluated_.begin(), evaluated_.end());
  const int32_t count = static_cast<int32_t>(tokens.size());
  reused_count_ = std::min(static_cast<int32_t>(differ.first - tokens.begin()), count - 1);
  // Until all of it has come back nobody knows what the blocks hold beyond the common part.
  evaluated_.resize(reused_count_);
  SpanOutput result;
  absl::Status status = SubmitFrom(
      reused_count_, tokens,
      [&](int32_t, int32_t end) { return end == count ? output : OutputSpec(); },
      [&](SpanOutput span_output) { result = std::move(span_output); });
  status.Update(steps_.Drain());
  RETURN_IF_ERROR(status);
  evaluated_.insert(evaluated_.end(), tokens.begin() + reused_count_, tokens.end());
  return result;
}

absl::Status Sequence::Submit(const std::vector<int32_t>& tokens, const OutputOf& output_of,
                              const Done& done) {
  evaluated_.clear();
  return SubmitFrom(0, tokens, output_of, done);
}

absl::Status Sequence::SubmitFrom(int32_t begin, const std::vector<int32_t>& tokens,
                                  const OutputOf& output_of, const Done& done) {
  const int32_t count = static_cast<int32_t>(tokens.size());
  const int32_t chunk =
      prompt_chunk_ > 0 ? prompt_chunk_ : DefaultPromptChunk(steps_.stage_count(), count - begin);
  RETURN_IF_ERROR(blocks_.Extend(count, block_table_));
  while (begin < count) {
    const int32_t end = begin + std::min(chunk, count - begin);
    Span span;
    span.tokens.assign(tokens.begin() + begin, tokens.begin() + end);
    span.first_position = begin;
    span.block_table = block_table_;
    RETURN_IF_ERROR(steps_.Submit(std::move(span), output_of(begin, end), done));
    begin = end;
  }
  return absl::OkStatus();
}

}  // namespace baton
