#include "coordinator/scheduler/kv_blocks.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(KvBlocksTest, FreeOnesAreTakenFirst) {
  KvBlocks blocks(3);
  PrefixNode node;
  EXPECT_EQ(blocks.Take().id, 0);
  EXPECT_EQ(blocks.Take().id, 1);
  blocks.Remember(0, &node);
  blocks.Release(0);
  EXPECT_EQ(blocks.free_count(), 1);
  EXPECT_EQ(blocks.cached_count(), 1);
  EXPECT_EQ(blocks.Take().id, 2);
  const KvBlocks::Taken cached = blocks.Take();
  EXPECT_EQ(cached.id, 0);
  EXPECT_EQ(cached.forgotten, &node);
  EXPECT_EQ(blocks.available_count(), 0);
  blocks.Release(0);
  EXPECT_EQ(blocks.free_count(), 1);  // what it holds is not known any more
}

TEST(KvBlocksTest, TheCachedOneThatWasUsedLongestAgoGoesFirst) {
  KvBlocks blocks(3);
  PrefixNode nodes[3];
  for (int32_t i = 0; i < 3; ++i) blocks.Remember(blocks.Take().id, &nodes[i]);
  for (const int32_t id : {1, 0, 2}) blocks.Release(id);
  blocks.Share(1);
  EXPECT_EQ(blocks.cached_count(), 2);
  blocks.Release(1);
  for (const int32_t id : {0, 2, 1}) EXPECT_EQ(blocks.Take().id, id);
}

TEST(KvBlocksTest, ASharedBlockIsHeldUntilTheLastGivesItBack) {
  KvBlocks blocks(1);
  blocks.Take();
  blocks.Share(0);
  blocks.Release(0);
  EXPECT_EQ(blocks.available_count(), 0);
  blocks.Release(0);
  EXPECT_EQ(blocks.available_count(), 1);
}

TEST(KvBlocksDeathTest, ReleasingTwiceIsOurBug) {
  KvBlocks blocks(2);
  blocks.Take();
  blocks.Release(0);
  EXPECT_DEATH(blocks.Release(0), "references");
}

}  // namespace
}  // namespace baton
