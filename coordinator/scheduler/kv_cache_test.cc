#include "coordinator/scheduler/kv_cache.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "coordinator/scheduler/pacing.h"
#include "engine/pipeline/local_stage.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using Table = std::vector<int32_t>;

constexpr int32_t kContext = 1 << 20;

const CacheGroup kFull = {};
const CacheGroup kTwoBlocks = {.window = 2 * kKvBlockTokens, .layers = {}};

std::vector<int32_t> Tokens(int32_t blocks, int32_t first = 0) {
  std::vector<int32_t> tokens(blocks * kKvBlockTokens);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

// The first `count` blocks' tokens.
absl::Span<const int32_t> Blocks(const std::vector<int32_t>& tokens, int32_t count) {
  return absl::MakeConstSpan(tokens).first(count * kKvBlockTokens);
}

int32_t Size(const std::vector<int32_t>& tokens) { return static_cast<int32_t>(tokens.size()); }

class KvCacheTest : public testing::Test {
 protected:
  void Build(const std::vector<CacheGroup>& groups, const std::vector<int32_t>& counts,
             int32_t context_length) {
    cache_.emplace(groups, counts, context_length);
  }
  // Blocks for all of these tokens, whatever is known of them.
  SequenceBlocks Take(const std::vector<int32_t>& tokens) {
    SequenceBlocks blocks;
    EXPECT_TRUE(cache_->Admit(tokens, 0, 0, blocks));
    return blocks;
  }
  // A sequence that computed all of these tokens, in chunks of a block, and ended.
  void Cache(const std::vector<int32_t>& tokens) {
    SequenceBlocks blocks = Take(tokens);
    for (int32_t fed = 0; fed < Size(tokens); fed += kKvBlockTokens) {
      ASSERT_TRUE(cache_->Extend(fed, Size(tokens), blocks));
      cache_->Remember(Blocks(tokens, fed / kKvBlockTokens + 1), blocks);
    }
    cache_->Release(blocks);
  }
  // Tokens of the longest known beginning of all of these.
  int32_t Known(const std::vector<int32_t>& tokens) {
    SequenceBlocks blocks;
    const bool admitted = cache_->Admit(tokens, Size(tokens), 0, blocks);
    EXPECT_TRUE(admitted);
    const int32_t known = blocks.known_tokens;
    cache_->Release(blocks);
    return known;
  }

  std::optional<KvCache> cache_;
};

TEST_F(KvCacheTest, GivesWhatPositionsNeed) {
  Build({kFull}, {4}, 4 * kKvBlockTokens);
  SequenceBlocks blocks = Take({7});
  EXPECT_EQ(cache_->Table(blocks, 0, 1), Table{0});
  ASSERT_TRUE(cache_->Extend(1, kKvBlockTokens, blocks));
  EXPECT_EQ(cache_->free_count(), 3);
  ASSERT_TRUE(cache_->Extend(kKvBlockTokens, kKvBlockTokens + 1, blocks));
  EXPECT_EQ(cache_->Table(blocks, kKvBlockTokens, 1), (Table{0, 1}));
  EXPECT_EQ(cache_->Table(blocks, 3, 2), Table{0});
  EXPECT_EQ(cache_->free_count(), 2);
  cache_->Release(blocks);
  EXPECT_EQ(cache_->free_count(), 4);
}

TEST_F(KvCacheTest, RefusesMoreThanThereIsAndTakesNone) {
  Build({kFull, kTwoBlocks}, {10, 4}, 10 * kKvBlockTokens);
  SequenceBlocks first = Take(Tokens(2));
  SequenceBlocks second = Take({7});
  // There are blocks of full attention enough.
  EXPECT_FALSE(cache_->Extend(0, 3 * kKvBlockTokens, second));
  EXPECT_EQ(cache_->Table(second, 0, 1), (Table{2, 2}));
  EXPECT_EQ(cache_->free_count(), 7 + 1);
  SequenceBlocks third;
  EXPECT_FALSE(cache_->Admit(Tokens(2), 0, 0, third));
  EXPECT_EQ(cache_->free_count(), 7 + 1);
  cache_->Release(second);
  EXPECT_TRUE(cache_->Admit(Tokens(2), 0, 0, third));
}

TEST_F(KvCacheTest, ABlockIsLeftForThoseThatRun) {
  Build({kFull}, {16}, 16 * kKvBlockTokens);
  SequenceBlocks first = Take(Tokens(12));
  SequenceBlocks second;
  EXPECT_FALSE(cache_->Admit(Tokens(4), 0, 1, second));
  SequenceBlocks third;
  EXPECT_TRUE(cache_->Admit(Tokens(3), 0, 1, third));
  // As long as there are no more than there were, nothing is tried again.
  cache_->Release(third);
  EXPECT_FALSE(cache_->Admit(Tokens(3), 0, 1, second));
  EXPECT_TRUE(cache_->Admit(Tokens(4), 0, 0, second));
}

TEST_F(KvCacheTest, FindsFullBlocksWithTheSameBeginning) {
  Build({kFull}, {8}, 8 * kKvBlockTokens);
  Cache(Tokens(3));
  EXPECT_EQ(cache_->cached_count(), 3);
  std::vector<int32_t> tokens = Tokens(3);
  tokens.pop_back();
  SequenceBlocks blocks;
  ASSERT_TRUE(cache_->Admit(tokens, Size(tokens), 0, blocks));
  EXPECT_EQ(blocks.known_tokens, 2 * kKvBlockTokens);
  EXPECT_EQ(cache_->cached_count(), 1);
  tokens[kKvBlockTokens] = -1;
  SequenceBlocks shared;
  ASSERT_TRUE(cache_->Admit(tokens, Size(tokens), 0, shared));
  EXPECT_EQ(shared.known_tokens, kKvBlockTokens);
  EXPECT_EQ(shared.runs[0].ids[0], blocks.runs[0].ids[0]);
  cache_->Release(blocks);
  EXPECT_EQ(cache_->cached_count(), 2);  // one is still in use
  cache_->Release(shared);
  EXPECT_EQ(cache_->cached_count(), 3);
}

TEST_F(KvCacheTest, ForgetsWhatWasUsedLongestAgoAndChildrenFirst) {
  Build({kFull}, {4}, 4 * kKvBlockTokens);
  Cache(Tokens(2));
  Cache(Tokens(2, 1000));
  EXPECT_EQ(Known(Tokens(2)), 2 * kKvBlockTokens);  // uses the first ones again
  SequenceBlocks taken = Take({7});
  EXPECT_EQ(Known(Tokens(1, 1000)), kKvBlockTokens);
  EXPECT_EQ(Known(Tokens(2)), 2 * kKvBlockTokens);
}

TEST_F(KvCacheTest, WhatTwoComputedIsKeptOnce) {
  Build({kFull}, {4}, 4 * kKvBlockTokens);
  SequenceBlocks first = Take(Tokens(1));
  SequenceBlocks second = Take(Tokens(2));
  cache_->Remember(Tokens(1), first);
  cache_->Remember(Tokens(2), second);
  EXPECT_EQ(second.known_tokens, 2 * kKvBlockTokens);
  cache_->Release(second);
  cache_->Release(first);
  EXPECT_EQ(cache_->free_count(), 2);
  EXPECT_EQ(cache_->cached_count(), 2);
  EXPECT_EQ(Known(Tokens(2)), 2 * kKvBlockTokens);
}

// ---- Windows.

TEST_F(KvCacheTest, ASequenceHasAWindowAndAChunkAtMost) {
  Build({kFull, kTwoBlocks}, {400, 400}, 400 * kKvBlockTokens);
  const int32_t most = KvCache::MostBlocks(kTwoBlocks, kContext);
  EXPECT_EQ(most, 2 + kMaxPromptChunk / kKvBlockTokens + 1);
  EXPECT_EQ(KvCache::MostBlocks(kTwoBlocks, 5 * kKvBlockTokens), 5);
  const std::vector<int32_t> tokens = Tokens(100);
  SequenceBlocks blocks = Take(tokens);
  // Chunks of all sizes, each of which begins anywhere in a block.
  int32_t fed = 0;
  for (int32_t rows = 1; fed < Size(tokens); rows = rows * 3 % (kMaxPromptChunk - 1) + 1) {
    rows = std::min({rows, cache_->most_rows(), Size(tokens) - fed});
    ASSERT_TRUE(cache_->Extend(fed, Size(tokens), blocks));
    ASSERT_LE(static_cast<int32_t>(blocks.runs[1].ids.size()), most);
    ASSERT_EQ(blocks.runs[0].ids.size(), 100u);
    const size_t window_begin = std::max(0, fed - kTwoBlocks.window + 1) / kKvBlockTokens;
    const size_t end = (fed + rows - 1) / kKvBlockTokens + 1;
    ASSERT_EQ(cache_->Table(blocks, fed, rows).size(), end + end - window_begin);
    fed += rows;
  }
  // An answer goes on with the window alone.
  ASSERT_TRUE(cache_->Extend(fed, fed + 1, blocks));
  EXPECT_EQ(blocks.runs[1].ids.size(), 3u);
  cache_->Release(blocks);
  EXPECT_EQ(cache_->free_count(), 800);
}

TEST_F(KvCacheTest, ABeginningIsOfUseWhereItsWindowIsHeld) {
  Build({kFull, kTwoBlocks}, {40, 8}, 40 * kKvBlockTokens);
  EXPECT_EQ(cache_->most_rows(), 5 * kKvBlockTokens);
  Cache(Tokens(10));
  // The first two blocks of the window were given back on the way, and taken again.
  EXPECT_EQ(Known(Tokens(3)), 0);
  // They are not missed where the window does not reach.
  EXPECT_EQ(Known(Tokens(11)), 10 * kKvBlockTokens);
}

TEST_F(KvCacheTest, BlocksOfAWindowAreFoundWhereTheyWereGivenBack) {
  Build({kFull, kTwoBlocks}, {40, 30}, 40 * kKvBlockTokens);
  Cache(Tokens(10));
  std::vector<int32_t> other = Tokens(4);
  other.push_back(-1);
  SequenceBlocks blocks;
  ASSERT_TRUE(cache_->Admit(other, Size(other), 0, blocks));
  EXPECT_EQ(blocks.known_tokens, 4 * kKvBlockTokens);
  EXPECT_EQ(blocks.runs[0].ids.size(), 5u);
  EXPECT_EQ(blocks.runs[1].first, 2);
  EXPECT_EQ(blocks.runs[1].ids.size(), 3u);
}

TEST_F(KvCacheTest, ABeginningIsFoundAgainWhereTheWindowIsComputedAgain) {
  Build({kFull, kTwoBlocks}, {40, 8}, 40 * kKvBlockTokens);
  Cache(Tokens(4));
  SequenceBlocks all = Take(Tokens(8, 1000));
  cache_->Release(all);
  EXPECT_EQ(Known(Tokens(4)), 0);
  // The blocks of full attention are known already; those of the window are missing.
  Cache(Tokens(4));
  EXPECT_EQ(Known(Tokens(4)), 4 * kKvBlockTokens);
  EXPECT_EQ(cache_->cached_count(), 4 + 4);
}

TEST_F(KvCacheTest, AModelOfWindowsAloneFindsEndsOfLongBeginnings) {
  Build({kTwoBlocks}, {8}, 40 * kKvBlockTokens);
  Cache(Tokens(30));
  EXPECT_EQ(Known(Tokens(30)), 30 * kKvBlockTokens);
  EXPECT_EQ(Known(Tokens(10)), 0);
}

// What a step writes that has not come back is not known when the window has moved on.
TEST_F(KvCacheTest, WhatWasGivenBackBeforeItWasComputedIsNotFound) {
  Build({kFull, kTwoBlocks}, {40, 30}, 40 * kKvBlockTokens);
  const std::vector<int32_t> tokens = Tokens(12);
  SequenceBlocks blocks = Take(tokens);
  for (int32_t fed = 0; fed < Size(tokens); fed += kKvBlockTokens) {
    ASSERT_TRUE(cache_->Extend(fed, Size(tokens), blocks));
  }
  cache_->Remember(tokens, blocks);
  cache_->Release(blocks);
  EXPECT_EQ(Known(Tokens(8)), 0);
  EXPECT_EQ(Known(tokens), 12 * kKvBlockTokens);
}

}  // namespace
}  // namespace baton
