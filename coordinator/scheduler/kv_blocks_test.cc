#include "coordinator/scheduler/kv_blocks.h"

#include <numeric>

#include "engine/pipeline/local_stage.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using Table = std::vector<int32_t>;

std::vector<int32_t> Tokens(int32_t blocks, int32_t first = 0) {
  std::vector<int32_t> tokens(blocks * kKvBlockTokens);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

// A sequence that computed `blocks` full blocks, remembered and given back.
void Cache(KvBlocks& blocks, const std::vector<int32_t>& tokens) {
  Table table;
  ASSERT_TRUE(blocks.Extend(static_cast<int64_t>(tokens.size()), table));
  blocks.Remember({}, tokens, table);
  blocks.Release(table);
}

TEST(KvBlocksTest, GivesWhatPositionsNeed) {
  KvBlocks blocks(4);
  Table table;
  ASSERT_TRUE(blocks.Extend(0, table));
  EXPECT_EQ(table, Table{});
  ASSERT_TRUE(blocks.Extend(1, table));
  ASSERT_TRUE(blocks.Extend(kKvBlockTokens, table));
  EXPECT_EQ(table, Table{0});
  ASSERT_TRUE(blocks.Extend(kKvBlockTokens + 1, table));
  EXPECT_EQ(table, (Table{0, 1}));
  ASSERT_TRUE(blocks.Extend(3, table));
  EXPECT_EQ(table, (Table{0, 1}));
  EXPECT_EQ(blocks.free_count(), 2);
  blocks.Release(table);
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(blocks.free_count(), 4);
}

TEST(KvBlocksTest, RefusesMoreThanThereIsAndChangesNothing) {
  KvBlocks blocks(3);
  Table first;
  Table second;
  ASSERT_TRUE(blocks.Extend(2 * kKvBlockTokens, first));
  EXPECT_FALSE(blocks.Extend(2 * kKvBlockTokens, second));
  EXPECT_TRUE(second.empty());
  EXPECT_EQ(blocks.free_count(), 1);
}

TEST(KvBlocksTest, FindsFullBlocksWithTheSameBeginning) {
  KvBlocks blocks(8);
  Cache(blocks, Tokens(3));
  EXPECT_EQ(blocks.cached_count(), 3);
  Table table;
  std::vector<int32_t> tokens = Tokens(3);
  tokens.resize(tokens.size() - 1);
  EXPECT_EQ(blocks.Find(tokens, table).token_count, 2 * kKvBlockTokens);
  EXPECT_EQ(table, (Table{0, 1}));
  EXPECT_EQ(blocks.cached_count(), 1);
  Table shared;
  tokens[kKvBlockTokens] = -1;
  EXPECT_EQ(blocks.Find(tokens, shared).token_count, kKvBlockTokens);
  EXPECT_EQ(shared, Table{0});
  blocks.Release(table);
  EXPECT_EQ(blocks.cached_count(), 2);  // one is still in use
  blocks.Release(shared);
  EXPECT_EQ(blocks.cached_count(), 3);
}

TEST(KvBlocksTest, TheSameTokensElsewhereAreNotTheSame) {
  KvBlocks blocks(8);
  Cache(blocks, Tokens(2));
  std::vector<int32_t> other = Tokens(1, 1000);
  const std::vector<int32_t> second = Tokens(2);
  other.insert(other.end(), second.begin() + kKvBlockTokens, second.end());
  Table table;
  EXPECT_EQ(blocks.Find(other, table).token_count, 0);
}

TEST(KvBlocksTest, EvictsWhatWasUsedLongestAgoAndChildrenFirst) {
  KvBlocks blocks(4);
  Cache(blocks, Tokens(2));
  Cache(blocks, Tokens(2, 1000));
  Table table;
  blocks.Find(Tokens(2), table);  // uses the first ones again
  blocks.Release(table);
  Table taken;
  ASSERT_TRUE(blocks.Extend(1, taken));
  EXPECT_EQ(blocks.Find(Tokens(2, 1000), table).token_count, kKvBlockTokens);
  blocks.Release(table);
  EXPECT_EQ(blocks.Find(Tokens(2), table).token_count, 2 * kKvBlockTokens);
  blocks.Release(table);
  blocks.Release(taken);
}

TEST(KvBlocksTest, WhatTwoComputedIsKeptOnce) {
  KvBlocks blocks(4);
  Table first;
  Table second;
  ASSERT_TRUE(blocks.Extend(kKvBlockTokens, first));
  ASSERT_TRUE(blocks.Extend(2 * kKvBlockTokens, second));
  const auto a = blocks.Remember({}, Tokens(1), first);
  const auto b = blocks.Remember({}, Tokens(2), second);
  EXPECT_EQ(a.token_count, kKvBlockTokens);
  EXPECT_EQ(b.token_count, 2 * kKvBlockTokens);
  blocks.Release(second);
  blocks.Release(first);
  EXPECT_EQ(blocks.free_count(), 2);
  EXPECT_EQ(blocks.cached_count(), 2);
  Table table;
  EXPECT_EQ(blocks.Find(Tokens(2), table).token_count, 2 * kKvBlockTokens);
  blocks.Release(table);
}

TEST(KvBlocksDeathTest, ReleasingTwiceIsOurBug) {
  KvBlocks blocks(2);
  Table table;
  ASSERT_TRUE(blocks.Extend(1, table));
  Table again = table;
  blocks.Release(table);
  EXPECT_DEATH(blocks.Release(again), "references");
}

}  // namespace
}  // namespace baton
