// The first promise: the same bits, however the work is cut. Every test computes the logits of one
// prompt in the plainest way (one stage, one thread, plain C++, the prompt whole, alone) and then
// in others, and compares bits.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/kernels/isa.h"
#include "engine/quant/types.h"
#include "engine/testing/architecture_models.h"
#include "engine/testing/model_maker.h"
#include "engine/testing/model_splitter.h"
#include "gtest/gtest.h"
#include "tests/stage_chain.h"

namespace baton {
namespace {

// Over three attention blocks, and no multiple of anything.
constexpr int64_t kLongPrompt = 3 * kAttentionBlock + 9;
constexpr int64_t kShortPrompt = kAttentionBlock + 13;
constexpr int64_t kTinyPrompt = 17;
constexpr int64_t kWhole = 1 << 20;

void ExpectSameBits(const std::vector<float>& expected, const std::vector<float>& found,
                    const std::string& what) {
  ASSERT_EQ(expected.size(), found.size()) << what;
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_TRUE(std::isfinite(expected[i])) << what;
    ASSERT_EQ(std::bit_cast<uint32_t>(expected[i]), std::bit_cast<uint32_t>(found[i]))
        << what << ": logit " << i << " is " << found[i] << ", expected " << expected[i];
  }
}

std::string Describe(const ChainOptions& chain, int64_t chunk) {
  return std::to_string(chain.stage_count) + " stages, " + std::to_string(chain.thread_count) +
         " threads, " + IsaName(chain.isa) + ", chunks of " + std::to_string(chunk) + ", " +
         KvTypeName(chain.numeric.kv_type) +
         (chain.numeric.activations == ActivationMode::kInt8 ? ", int8" : ", f32");
}

class EquivalenceTest : public ::testing::Test {
 protected:
  std::string Make(const ModelOptions& options) {
    const absl::StatusOr<std::string> path = MakeModel(options, ::testing::TempDir());
    EXPECT_TRUE(path.ok()) << path.status();
    return path.value_or("");
  }

  // One mixed way per instruction set, against the plainest.
  void ExpectSameBitsOverall(const std::string& path, const NumericOptions& numeric,
                             int64_t prompt_size) {
    ChainOptions plain;
    plain.numeric = numeric;
    StageChain reference(path, plain);
    const std::vector<int32_t> tokens =
        RandomTokens(prompt_size, reference.spec().vocabulary_size, 5);
    const std::vector<float> expected = reference.Logits(tokens, kWhole);
    for (const Isa isa : SupportedIsas()) {
      ChainOptions mixed = plain;
      mixed.isa = isa;
      mixed.thread_count = 2;
      mixed.stage_count = reference.spec().layer_count;
      StageChain chain(path, mixed);
      ExpectSameBits(expected, chain.Logits(tokens, 7), path + ": " + Describe(mixed, 7));
    }
  }
};

// Every way on the fastest instruction set, and every chunk on the others.
TEST_F(EquivalenceTest, StagesThreadsChunksAndInstructionSets) {
  ModelOptions options;
  options.layer_count = 4;
  options.width = 32;
  options.feed_forward_size = 64;
  options.type = TensorType::kQ4_0;
  const std::string path = Make(options);
  const std::vector<int32_t> tokens = RandomTokens(kLongPrompt, options.vocabulary_size, 5);
  const std::vector<float> expected = StageChain(path, ChainOptions()).Logits(tokens, kWhole);
  const auto expect_same = [&](Isa isa, int stage_count, int thread_count) {
    ChainOptions chain_options;
    chain_options.isa = isa;
    chain_options.stage_count = stage_count;
    chain_options.thread_count = thread_count;
    StageChain chain(path, chain_options);
    for (const int64_t chunk : {int64_t{1}, int64_t{7}, int64_t{64}, kWhole}) {
      ExpectSameBits(expected, chain.Logits(tokens, chunk), Describe(chain_options, chunk));
    }
  };
  for (const Isa isa : SupportedIsas()) expect_same(isa, 3, 2);
  for (const int stage_count : {1, 2, 3, 4}) {
    for (const int thread_count : {1, 2}) expect_same(BestIsa(), stage_count, thread_count);
  }
}

// FNV-1a of the logits as 32-bit words.
uint64_t HashOf(const std::vector<float>& logits) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const float logit : logits) {
    hash = (hash ^ std::bit_cast<uint32_t>(logit)) * 0x100000001b3;
  }
  return hash;
}

// The other tests compare ways on one machine. These are the same numbers on every processor and
// with every compiler; they change only with the numeric contract or the model maker.
TEST_F(EquivalenceTest, BitsAreThoseOfEveryOtherMachine) {
  constexpr std::pair<TensorType, uint64_t> kExpected[] = {{TensorType::kF32, 0x15946db71cd96e96},
                                                           {TensorType::kQ8_0, 0x838f315c238ad1ba}};
  for (const auto& [type, expected] : kExpected) {
    ModelOptions options;
    options.type = type;
    StageChain chain(Make(options), ChainOptions());
    const std::vector<int32_t> tokens = RandomTokens(kShortPrompt, chain.spec().vocabulary_size, 5);
    const uint64_t hash = HashOf(chain.Logits(tokens, kWhole));
    EXPECT_EQ(hash, expected) << std::hex << "0x" << hash;
  }
}

TEST_F(EquivalenceTest, EveryTensorTypeInBothActivationModes) {
  for (const TypeTraits& traits : AllTypeTraits()) {
    if (!traits.is_weight) continue;
    ModelOptions options;
    options.type = traits.type;
    options.width = options.feed_forward_size = traits.block_elements == 256 ? 256 : 64;
    options.tied_output = true;
    const std::string path = Make(options);
    for (const ActivationMode mode : {ActivationMode::kInt8, ActivationMode::kF32}) {
      ExpectSameBitsOverall(path, {mode, KvType::kF16}, kTinyPrompt);
    }
  }
}

TEST_F(EquivalenceTest, EveryKvType) {
  ModelOptions options;
  options.head_count = 2;  // heads of 32, which q8_0 needs
  options.type = TensorType::kQ8_0;
  const std::string path = Make(options);
  for (const KvType type : {KvType::kF16, KvType::kF32, KvType::kQ8_0}) {
    ExpectSameBitsOverall(path, {ActivationMode::kInt8, type}, kLongPrompt);
  }
}

TEST_F(EquivalenceTest, WidthThatIsNoMultipleOf256) {
  ModelOptions options;
  options.width = 576;
  options.head_count = 9;
  options.kv_head_count = 3;
  options.feed_forward_size = 96;
  options.type = TensorType::kQ4_1;
  options.embedding_type = TensorType::kQ8_0;
  options.tied_output = true;
  ExpectSameBitsOverall(Make(options), {ActivationMode::kInt8, KvType::kF16}, kShortPrompt);
}

TEST_F(EquivalenceTest, OddSizesOfFloatWeights) {
  ModelOptions options;
  options.width = 60;
  options.head_count = 3;
  options.kv_head_count = 1;
  options.feed_forward_size = 172;
  options.vocabulary_size = 263;
  options.type = TensorType::kF16;
  ExpectSameBitsOverall(Make(options), {ActivationMode::kInt8, KvType::kF16}, kShortPrompt);
}

TEST_F(EquivalenceTest, MixtureOfExperts) {
  ModelOptions options;
  options.expert_count = 6;
  options.expert_used_count = 3;
  for (const TensorType type : {TensorType::kF32, TensorType::kQ5_1}) {
    options.type = type;
    ExpectSameBitsOverall(Make(options), {ActivationMode::kInt8, KvType::kF16}, kLongPrompt);
  }
}

TEST_F(EquivalenceTest, RopeVariantsBiasesAndHeadSizes) {
  ModelOptions options;
  options.attention_biases = true;
  options.head_size = 24;
  for (const RopeVariant rope :
       {RopeVariant::kPlain, RopeVariant::kLinear, RopeVariant::kYarn, RopeVariant::kFactors}) {
    options.rope = rope;
    ExpectSameBitsOverall(Make(options), {ActivationMode::kF32, KvType::kF32}, kShortPrompt);
  }
}

// Three sequences share every step: a long prompt in chunks, one that decodes token by token, and
// one that ends early, whose blocks the next one takes over.
TEST_F(EquivalenceTest, SequencesBesideEachOtherAndRecycledBlocks) {
  ModelOptions options;
  options.layer_count = 3;
  options.type = TensorType::kQ5_0;
  options.expert_count = 4;
  const std::string path = Make(options);
  ChainOptions plain;
  StageChain alone(path, plain);
  std::vector<std::vector<int32_t>> prompts;
  std::vector<std::vector<float>> expected;
  for (const int64_t size : {kLongPrompt, int64_t{29}, int64_t{83}, int64_t{41}}) {
    prompts.push_back(RandomTokens(size, options.vocabulary_size, size));
    expected.push_back(alone.Logits(prompts.back(), kWhole));
  }
  for (const Isa isa : SupportedIsas()) {
    ChainOptions chain_options = plain;
    chain_options.isa = isa;
    chain_options.stage_count = 2;
    chain_options.thread_count = 2;
    StageChain chain(path, chain_options);
    const int64_t chunks[] = {9, 1, 4, 2};
    std::vector<int64_t> done(prompts.size(), 0);
    std::map<size_t, std::vector<int32_t>> tables;
    size_t finished = 0;
    while (finished < prompts.size()) {
      std::vector<Span> spans;
      std::vector<OutputSpec> outputs;
      std::vector<size_t> sequences;
      for (size_t i = 0; i < prompts.size() && spans.size() < 3; ++i) {
        const int64_t size = static_cast<int64_t>(prompts[i].size());
        if (done[i] == size) continue;
        if (!tables.contains(i)) tables[i] = chain.TakeBlocks(size);
        const int64_t count = std::min(chunks[i], size - done[i]);
        spans.push_back(chain.MakeSpan(prompts[i], done[i], count, tables[i]));
        done[i] += count;
        outputs.push_back(done[i] == size ? AskForLogits() : OutputSpec());
        sequences.push_back(i);
      }
      const std::vector<SpanOutput> results = chain.Step(std::move(spans), outputs);
      for (size_t j = 0; j < sequences.size(); ++j) {
        if (outputs[j].kind != OutputSpec::Kind::kSample) continue;
        const size_t i = sequences[j];
        ExpectSameBits(expected[i], results[j].logits,
                       "sequence " + std::to_string(i) + ", " + IsaName(isa));
        chain.GiveBack(tables[i]);
        ++finished;
      }
    }
  }
}

// A position is authoritative: what was written before, be it of another text, is overwritten.
TEST_F(EquivalenceTest, ReplayedPositionsGiveTheSameBits) {
  const ModelOptions options;
  StageChain chain(Make(options), ChainOptions());
  const std::vector<int32_t> tokens = RandomTokens(kShortPrompt, options.vocabulary_size, 1);
  std::vector<int32_t> other = RandomTokens(kShortPrompt, options.vocabulary_size, 2);
  const std::vector<float> expected = chain.Logits(tokens, kWhole);
  const std::vector<int32_t> table = chain.TakeBlocks(kShortPrompt);
  chain.Step({chain.MakeSpan(other, 0, kShortPrompt, table)}, {OutputSpec()});
  chain.Step({chain.MakeSpan(tokens, 0, 50, table)}, {OutputSpec()});
  chain.Step({chain.MakeSpan(tokens, 40, 30, table)}, {OutputSpec()});
  const std::vector<SpanOutput> last =
      chain.Step({chain.MakeSpan(tokens, 60, kShortPrompt - 60, table)}, {AskForLogits()});
  ExpectSameBits(expected, last[0].logits, "replayed");
}

// Of so many rows at once that several requests for the other stage's part follow each other.
TEST_F(EquivalenceTest, ASharedHead) {
  constexpr int kRows = 90;
  for (const bool tied : {false, true}) {
    ModelOptions options;
    options.layer_count = 3;
    options.tied_output = tied;
    options.type = TensorType::kQ4_0;
    const std::string path = Make(options);
    const int vocabulary = options.vocabulary_size;
    const std::vector<int32_t> tokens = RandomTokens(kRows, vocabulary, 3);
    const auto last_logits = [&](StageChain& chain, int rows) {
      OutputSpec output = AskForLogits();
      output.sampled_rows = rows;
      const std::vector<int32_t> table = chain.TakeBlocks(kRows);
      auto outputs = chain.Step({chain.MakeSpan(tokens, 0, kRows, table)}, {output});
      chain.GiveBack(table);
      return outputs[0].logits;
    };
    for (const ActivationMode mode : {ActivationMode::kInt8, ActivationMode::kF32}) {
      ChainOptions chain_options;
      chain_options.numeric.activations = mode;
      StageChain alone(path, chain_options);
      const std::vector<float> all = last_logits(alone, kRows);
      chain_options.isa = BestIsa();
      chain_options.thread_count = 2;
      for (const int stage_count : {2, 3}) {
        for (const int shared : {1, 40, vocabulary - 1}) {
          chain_options.stage_count = stage_count;
          chain_options.shared_logits = shared;
          StageChain chain(path, chain_options);
          for (const int rows : {1, 15, 17, kRows}) {
            ExpectSameBits({all.end() - rows * vocabulary, all.end()}, last_logits(chain, rows),
                           Describe(chain_options, kRows) + ", sharing " + std::to_string(shared));
          }
        }
      }
    }
  }
}

// Where the other stage sends candidates, and where all logits matter to somebody: what is sampled
// is the same. Models that scale and cap their logits do so before the likeliest are taken.
TEST_F(EquivalenceTest, SamplesOfASharedHead) {
  std::vector<OutputSpec> specs(4);
  for (size_t i = 0; i < specs.size(); ++i) {
    specs[i].kind = OutputSpec::Kind::kSample;
    specs[i].sampled_rows = 5;
    specs[i].sample.params = {.temperature = 1.5f, .top_p = 1, .min_p = 0, .seed = i};
  }
  specs[0].sample.params.temperature = 0;
  specs[1].sample.params.top_k = 3;
  specs[3].sample.top_logprobs = 5;
  for (const char* name : {"llama", "gemma2", "command-r"}) {
    const std::string path = ::testing::TempDir() + "/" + name + ".gguf";
    ASSERT_TRUE(WriteArchitectureModel(*FindArchitectureModel(name), {}, path).ok());
    ChainOptions chain_options;
    StageChain alone(path, chain_options);
    chain_options.stage_count = 2;
    chain_options.shared_logits = alone.spec().vocabulary_size / 2;
    StageChain chain(path, chain_options);
    for (const size_t span_count : {3, 4}) {
      const auto step = [&](StageChain& runner) {
        std::vector<Span> spans;
        std::vector<std::vector<int32_t>> tables;
        for (size_t i = 0; i < span_count; ++i) {
          tables.push_back(runner.TakeBlocks(30));
          const auto tokens = RandomTokens(30, alone.spec().vocabulary_size, i);
          spans.push_back(runner.MakeSpan(tokens, 0, 30, tables.back()));
        }
        auto outputs = runner.Step(spans, {specs.begin(), specs.begin() + span_count});
        for (const std::vector<int32_t>& table : tables) runner.GiveBack(table);
        return outputs;
      };
      const std::vector<SpanOutput> expected = step(alone), got = step(chain);
      for (size_t i = 0; i < span_count; ++i) {
        ASSERT_EQ(expected[i].samples.size(), 5u);
        for (size_t row = 0; row < 5; ++row) {
          EXPECT_EQ(got[i].samples[row].token, expected[i].samples[row].token)
              << name << ", span " << i << " of " << span_count;
          EXPECT_EQ(got[i].samples[row].top_logprobs, expected[i].samples[row].top_logprobs);
        }
      }
    }
  }
}

// The rows of a tensor that the stage has business with, by its name alone.
struct Rows {
  uint64_t begin = 0;
  uint64_t end = 0;
};
Rows RowsOf(const StageRole& role, bool tied, const TensorInfo& tensor) {
  const Rows all = {0, tensor.row_count()}, none = {0, 0};
  const std::string& name = tensor.name;
  if (name == "token_embd.weight" && (role.embedding || !tied)) return role.embedding ? all : none;
  if (name == "output.weight" || name == "token_embd.weight") {
    const uint64_t shared = role.shared_logits;
    return role.head ? Rows{shared, tensor.row_count()} : Rows{0, shared};
  }
  if (name.starts_with("output")) return role.head ? all : none;
  if (!name.starts_with("blk.")) return all;
  const int layer = std::stoi(name.substr(4));
  return layer >= role.layers.begin && layer < role.layers.end ? all : none;
}

// A copy of the file in which every row that is none of the stage's has all its bits set.
std::string Overwrite(const std::string& path, const StageRole& role, bool tied) {
  const std::string copy = path + "." + std::to_string(role.layers.begin);
  std::filesystem::copy_file(path, copy, std::filesystem::copy_options::overwrite_existing);
  const absl::StatusOr<GgufFile> file = GgufFile::Read(path);
  EXPECT_TRUE(file.ok()) << file.status();
  std::fstream stream(copy, std::ios::binary | std::ios::in | std::ios::out);
  int overwritten = 0;
  for (const TensorInfo& tensor : file->tensors()) {
    const uint64_t row_bytes = tensor.bytes / tensor.row_count();
    const Rows own = RowsOf(role, tied, tensor);
    for (const Rows& other : {Rows{0, own.begin}, Rows{own.end, tensor.row_count()}}) {
      if (other.begin >= other.end) continue;
      stream.seekp(static_cast<std::streamoff>(tensor.offset + other.begin * row_bytes));
      stream << std::string((other.end - other.begin) * row_bytes, '\xff');
      ++overwritten;
    }
  }
  EXPECT_TRUE(stream.good());
  EXPECT_GT(overwritten, 0);
  return copy;
}

TEST_F(EquivalenceTest, AStageReadsOnlyItsOwnTensors) {
  for (const bool tied : {false, true}) {
    ModelOptions options;
    options.layer_count = 3;
    options.tied_output = tied;
    options.expert_count = tied ? 4 : 0;
    options.rope = RopeVariant::kFactors;
    options.type = TensorType::kQ8_0;
    const std::string path = Make(options);
    const std::vector<int32_t> tokens = RandomTokens(20, options.vocabulary_size, 3);
    const std::vector<float> expected = StageChain(path, ChainOptions()).Logits(tokens, kWhole);
    for (const int shared : {0, 100}) {
      ChainOptions split;
      split.stage_count = 3;
      split.shared_logits = shared;
      split.path_of = [&](const StageRole& role) { return Overwrite(path, role, tied); };
      ExpectSameBits(expected, StageChain(path, split).Logits(tokens, kWhole), "overwritten");
    }
  }
}

TEST_F(EquivalenceTest, AModelInSeveralFiles) {
  ModelOptions options;
  options.layer_count = 3;
  options.type = TensorType::kQ4_0;
  const std::string path = Make(options);
  const absl::StatusOr<std::vector<std::string>> shards =
      SplitModel(path, ::testing::TempDir() + "/several", 4);
  ASSERT_TRUE(shards.ok()) << shards.status();
  const std::vector<int32_t> tokens = RandomTokens(20, options.vocabulary_size, 3);
  const std::vector<float> expected = StageChain(path, ChainOptions()).Logits(tokens, kWhole);
  for (const std::string& shard : *shards) {
    ChainOptions chain;
    chain.stage_count = 2;
    chain.thread_count = 2;
    ExpectSameBits(expected, StageChain(shard, chain).Logits(tokens, kWhole), shard);
  }
}

}  // namespace
}  // namespace baton
