// A chain of stages over one file, driven as a coordinator would, for tests that compare bits.
#ifndef BATON_TESTS_STAGE_CHAIN_H_
#define BATON_TESTS_STAGE_CHAIN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/gguf/gguf_file.h"
#include "engine/model/cache_groups.h"
#include "engine/pipeline/local_pipeline.h"
#include "engine/pipeline/local_stage.h"
#include "engine/pipeline/plan.h"

namespace baton {

struct ChainOptions {
  int stage_count = 1;
  int thread_count = 1;
  Isa isa = Isa::kScalar;
  NumericOptions numeric = {};
  int32_t shared_logits = 0;  // by the last two stages
  // The file that a stage reads, by its role: the same one by default.
  std::function<std::string(const StageRole& role)> path_of = nullptr;
};

// KV blocks hold NaN before they are first written. Every failure aborts the test program, with
// its reason: tests compare results alone.
class StageChain {
 public:
  StageChain(const std::string& path, const ChainOptions& options);

  const ModelSpec& spec() const { return spec_; }
  // Blocks for `positions` positions, in no particular order, that no other table has.
  std::vector<int32_t> TakeBlocks(int64_t positions);
  void GiveBack(const std::vector<int32_t>& blocks);

  // Rows [first, first + count) of a sequence whose blocks are `table`, in every cache group.
  Span MakeSpan(const std::vector<int32_t>& tokens, int64_t first, int64_t count,
                const std::vector<int32_t>& table) const;

  // Runs one step; logits of each span's last row where `outputs` asks for them.
  std::vector<SpanOutput> Step(std::vector<Span> spans, std::vector<OutputSpec> outputs);

  // Feeds tokens in chunks from position 0, and gives the logits after the last.
  std::vector<float> Logits(const std::vector<int32_t>& tokens, int64_t chunk);

  // `count` tokens, chosen greedily one after the other, after a prompt that is fed whole.
  struct Answer {
    std::vector<int32_t> tokens;
    std::vector<float> prompt_logits;  // after the prompt's last token
  };
  Answer Generate(std::vector<int32_t> prompt, int64_t count);

 private:
  ModelSpec spec_;
  std::vector<CacheGroup> groups_;
  std::unique_ptr<LocalPipeline> pipeline_;
  std::vector<int32_t> free_blocks_;
  uint64_t next_step_ = 0;
};

// A greedy sample, with logits.
OutputSpec AskForLogits();

// `count` token ids that follow from the seed.
std::vector<int32_t> RandomTokens(int64_t count, int32_t vocabulary_size, uint64_t seed);

}  // namespace baton

#endif  // BATON_TESTS_STAGE_CHAIN_H_
