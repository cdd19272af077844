#include "tests/stage_chain.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "engine/base/check.h"
#include "engine/testing/random.h"

namespace baton {
namespace {

// Enough for three sequences of a few hundred positions.
constexpr int32_t kBlockCount = 48;

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
    std::abort();
  }
  return std::move(value).value();
}

}  // namespace

StageChain::StageChain(const std::string& path, const ChainOptions& options)
    : spec_(OrDie(ModelSpec::Read(OrDie(GgufFile::Read(path))))), groups_(CacheGroupsOf(spec_)) {
  std::vector<std::unique_ptr<Stage>> stages;
  const ModelBytes bytes = CountModelBytes(spec_);
  PipelinePlan plan = OrDie(PlanByBytes(bytes, options.stage_count));
  if (options.shared_logits > 0) {
    for (PlannedStage* stage : {&plan.stages.back(), &plan.stages.rbegin()[1]}) {
      stage->role.shared_logits = options.shared_logits;
      stage->weight_bytes = CountStageBytes(bytes, stage->role);
    }
  }
  for (const PlannedStage& planned : plan.stages) {
    LocalStageOptions stage;
    stage.role = planned.role;
    stage.numeric = options.numeric;
    stage.isa = options.isa;
    stage.thread_count = options.thread_count;
    stage.kv_block_counts.assign(groups_.size(), kBlockCount);
    stage.poison_kv = true;
    const GgufFile file =
        OrDie(GgufFile::Read(options.path_of ? options.path_of(planned.role) : path));
    stages.push_back(OrDie(LocalStage::Load(file, stage)));
    const StageStats stats = stages.back()->Stats();
    CHECK(stats.read_bytes == planned.weight_bytes && stats.weight_bytes == planned.weight_bytes);
  }
  pipeline_ = std::make_unique<LocalPipeline>(std::move(stages));
  // Every seventh block after the other: neighbours in a table are not neighbours in memory.
  for (int32_t i = 0; i < kBlockCount; ++i) free_blocks_.push_back(i * 7 % kBlockCount);
}

std::vector<int32_t> StageChain::TakeBlocks(int64_t positions) {
  const size_t count = (positions + kKvBlockTokens - 1) / kKvBlockTokens;
  CHECK(count <= free_blocks_.size());
  const std::vector<int32_t> blocks(free_blocks_.end() - count, free_blocks_.end());
  free_blocks_.resize(free_blocks_.size() - count);
  return blocks;
}

void StageChain::GiveBack(const std::vector<int32_t>& blocks) {
  free_blocks_.insert(free_blocks_.end(), blocks.begin(), blocks.end());
}

std::vector<SpanOutput> StageChain::Step(std::vector<Span> spans, std::vector<OutputSpec> outputs) {
  Batch batch;
  batch.step = next_step_++;
  batch.spans = std::move(spans);
  CHECK(pipeline_->Submit(std::move(batch), std::move(outputs)).ok());
  return OrDie(pipeline_->Next()).outputs;
}

std::vector<float> StageChain::Logits(const std::vector<int32_t>& tokens, int64_t chunk) {
  const int64_t size = static_cast<int64_t>(tokens.size());
  const std::vector<int32_t> table = TakeBlocks(size);
  std::vector<float> logits;
  for (int64_t first = 0; first < size; first += chunk) {
    const Span span = MakeSpan(tokens, first, std::min(chunk, size - first), table);
    const bool last = first + chunk >= size;
    std::vector<SpanOutput> outputs = Step({span}, {last ? AskForLogits() : OutputSpec()});
    if (last) logits = std::move(outputs[0].logits);
  }
  GiveBack(table);
  return logits;
}

StageChain::Answer StageChain::Generate(std::vector<int32_t> tokens, int64_t count) {
  const std::vector<int32_t> table = TakeBlocks(static_cast<int64_t>(tokens.size()) + count);
  Answer answer;
  int64_t fed = 0;
  while (static_cast<int64_t>(answer.tokens.size()) < count) {
    const int64_t size = static_cast<int64_t>(tokens.size());
    std::vector<SpanOutput> outputs =
        Step({MakeSpan(tokens, fed, size - fed, table)}, {AskForLogits()});
    fed = size;
    if (answer.tokens.empty()) answer.prompt_logits = std::move(outputs[0].logits);
    answer.tokens.push_back(outputs[0].samples[0].token);
    tokens.push_back(answer.tokens.back());
  }
  GiveBack(table);
  return answer;
}

OutputSpec AskForLogits() {
  OutputSpec spec;
  spec.kind = OutputSpec::Kind::kSample;
  spec.sample.params.temperature = 0;
  spec.return_logits = true;
  return spec;
}

Span StageChain::MakeSpan(const std::vector<int32_t>& tokens, int64_t first, int64_t count,
                          const std::vector<int32_t>& table) const {
  Span span;
  span.tokens.assign(tokens.begin() + first, tokens.begin() + first + count);
  span.first_position = static_cast<int32_t>(first);
  for (const CacheGroup& group : groups_) {
    const BlockRange range = group.BlocksOf(span.first_position, span.row_count());
    span.block_table.insert(span.block_table.end(), table.begin() + range.begin,
                            table.begin() + range.end);
  }
  return span;
}

std::vector<int32_t> RandomTokens(int64_t count, int32_t vocabulary_size, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<int32_t>(random.Below(vocabulary_size)));
  }
  return tokens;
}

}  // namespace baton
