#include "coordinator/bench/sequence_feeder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/scheduler/pacing.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/pipeline/local_stage.h"

namespace baton {
namespace {

int32_t BlocksPerSequence(int32_t position_count) {
  return (position_count + kKvBlockTokens - 1) / kKvBlockTokens;
}

}  // namespace

int64_t SequenceFeeder::KvBlockCount(int32_t sequence_count, int32_t position_count) {
  return int64_t{sequence_count} * BlocksPerSequence(position_count);
}

SequenceFeeder::SequenceFeeder(Pipeline& pipeline, SequenceFeederOptions options)
    : pipeline_(pipeline), options_(std::move(options)), filled_(options_.sequence_count) {}

// Differs from its neighbours, as tokens of text do, and is always the same.
int32_t SequenceFeeder::TokenAt(int32_t sequence, int32_t position) const {
  constexpr uint32_t kStride = 2654435761u;  // Knuth's multiplicative hash
  const uint32_t hash = (static_cast<uint32_t>(sequence) * 8191u + position + 1) * kStride;
  return static_cast<int32_t>((hash >> 8) % static_cast<uint32_t>(options_.vocabulary_size));
}

void SequenceFeeder::AddSpan(int32_t sequence, int32_t first, std::vector<int32_t> tokens,
                             bool sample, Step& step) const {
  const int32_t end = first + static_cast<int32_t>(tokens.size());
  CHECK(sequence < options_.sequence_count && end <= options_.position_count);
  Span& span = step.spans.emplace_back();
  span.tokens = std::move(tokens);
  span.first_position = first;
  const int32_t first_block = sequence * BlocksPerSequence(options_.position_count);
  for (const CacheGroup& group : options_.cache_groups) {
    const BlockRange range = group.BlocksOf(first, span.row_count());
    for (int32_t i = range.begin; i < range.end; ++i) span.block_table.push_back(first_block + i);
  }
  OutputSpec& output = step.outputs.emplace_back();
  if (!sample) return;
  output.kind = OutputSpec::Kind::kSample;
  output.sample.params.temperature = 0;
}

absl::Status SequenceFeeder::FeedPrompts(int32_t sequences, int32_t first, int32_t count) {
  const int32_t end = first + count;
  PromptTokens prompts = {int64_t{count} * sequences, int64_t{count} * sequences};
  const auto next_chunk = [&] {
    return options_.prompt_chunk > 0
               ? options_.prompt_chunk
               : PromptChunk(pipeline_.parallel_stages(), options_.weight_rows,
                             options_.prompt_slack, prompts);
  };
  int32_t chunk = next_chunk();
  Step step;
  int32_t rows = 0;  // in `step`
  for (int32_t sequence = 0; sequence < sequences; ++sequence) {
    for (int32_t position = first; position < end;) {
      const int32_t taken = std::min(end - position, chunk - rows);
      std::vector<int32_t> tokens(taken);
      for (int32_t i = 0; i < taken; ++i) tokens[i] = TokenAt(sequence, position + i);
      position += taken;
      rows += taken;
      AddSpan(sequence, position - taken, std::move(tokens), position == end, step);
      if (rows < chunk) continue;
      RETURN_IF_ERROR(Submit(std::exchange(step, Step())));
      prompts.left -= std::exchange(rows, 0);
      chunk = next_chunk();
    }
  }
  if (rows > 0) RETURN_IF_ERROR(Submit(std::move(step)));
  NoteFilled(sequences, first, end);
  return Drain();
}

absl::Status SequenceFeeder::Generate(int32_t sequences, int32_t first, int32_t steps) {
  std::vector<int32_t> tokens;
  for (int32_t sequence = 0; sequence < sequences; ++sequence) {
    tokens.push_back(TokenAt(sequence, first));
  }
  for (int32_t position = first; position < first + steps; ++position) {
    Step step;
    for (int32_t sequence = 0; sequence < sequences; ++sequence) {
      AddSpan(sequence, position, {tokens[sequence]}, /*sample=*/true, step);
    }
    RETURN_IF_ERROR(Submit(std::move(step)));
    RETURN_IF_ERROR(Await(&tokens));
  }
  NoteFilled(sequences, first, first + steps);
  return absl::OkStatus();
}

absl::Status SequenceFeeder::FillTo(int32_t sequences, int32_t depth) {
  // What is there already stays: filling costs as much as any prompt.
  const int32_t least = *std::min_element(filled_.begin(), filled_.begin() + sequences);
  if (least >= depth) return absl::OkStatus();
  return FeedPrompts(sequences, least, depth - least);
}

void SequenceFeeder::NoteFilled(int32_t sequences, int32_t first, int32_t end) {
  for (int32_t sequence = 0; sequence < sequences; ++sequence) {
    if (filled_[sequence] >= first) filled_[sequence] = std::max(filled_[sequence], end);
  }
}

absl::Status SequenceFeeder::Submit(Step step) {
  // One for each stage, and one on its way.
  const size_t window = pipeline_.stage_count() + 1;
  while (in_flight_ >= window) RETURN_IF_ERROR(Await(nullptr));
  if (options_.keep_going && !options_.keep_going()) return absl::CancelledError("ended early");
  Batch batch;
  batch.step = next_step_;
  batch.spans = std::move(step.spans);
  RETURN_IF_ERROR(pipeline_.Submit(std::move(batch), std::move(step.outputs)));
  ++next_step_;
  ++in_flight_;
  return absl::OkStatus();
}

absl::Status SequenceFeeder::Await(std::vector<int32_t>* tokens) {
  --in_flight_;
  ASSIGN_OR_RETURN(const StepResult result, pipeline_.Next());
  for (const SpanOutput& output : result.outputs) RETURN_IF_ERROR(output.status);
  if (tokens == nullptr) return absl::OkStatus();
  if (result.outputs.size() != tokens->size()) {
    return absl::InternalError(absl::StrCat("a step of ", tokens->size(), " sequences gave ",
                                            result.outputs.size(), " outputs"));
  }
  for (size_t i = 0; i < tokens->size(); ++i) {
    if (result.outputs[i].samples.size() != 1) {
      return absl::InternalError("a row that was to be sampled came back without a token");
    }
    (*tokens)[i] = result.outputs[i].samples.front().token;
  }
  return absl::OkStatus();
}

absl::Status SequenceFeeder::Drain() {
  while (in_flight_ > 0) RETURN_IF_ERROR(Await(nullptr));
  return absl::OkStatus();
}

}  // namespace baton
