#include "coordinator/cli/kv_sizes.h"

#include "coordinator/scheduler/kv_cache.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using Counts = std::vector<int32_t>;

const CacheGroup kFull = {};
const CacheGroup kWindow = {.window = 128, .layers = {}};

TEST(KvSizesTest, OneGroupHasAllBlocks) {
  const KvSizes sizes({kFull}, {{100}, {300}});
  EXPECT_EQ(sizes.Counts(7, 64), Counts{7});
  EXPECT_EQ(sizes.Bytes(7, 64), 2100u);
  EXPECT_EQ(sizes.BlocksWithin(2099, 64, 1000), 6);
  EXPECT_EQ(sizes.BlocksWithin(2100, 64, 1000), 7);
  EXPECT_EQ(sizes.BlocksWithin(2100, 64, 5), 5);
  EXPECT_EQ(sizes.BlocksWithin(299, 64, 1000), 0);
  EXPECT_EQ(sizes.ContextWithin(2100, 1, 1000), 6 * 32);
  EXPECT_EQ(sizes.ContextWithin(2100, 1, 100), 100);
  EXPECT_EQ(sizes.ContextWithin(299, 1, 100), 0);
}

TEST(KvSizesTest, AWindowHasWhatAsManySequencesHold) {
  const KvSizes sizes({kFull, kWindow}, {{100, 10}});
  const int32_t most = KvCache::MostBlocks(kWindow, 8192);  // of 256
  EXPECT_EQ(most, 21);
  EXPECT_EQ(sizes.Counts(256, 8192), (Counts{256, most}));
  EXPECT_EQ(sizes.Counts(1024, 8192), (Counts{1024, 4 * most}));
  EXPECT_EQ(sizes.Counts(1025, 8192), (Counts{1025, 4 * most + 1}));
  // A context that is no longer than that.
  EXPECT_EQ(sizes.Counts(30, 320), (Counts{30, 30}));
  EXPECT_EQ(sizes.Bytes(1024, 8192), 1024u * 100 + 4 * most * 10);
  const int32_t blocks = sizes.BlocksWithin(1000000, 8192, 1 << 20);
  EXPECT_LE(sizes.Bytes(blocks, 8192), 1000000u);
  EXPECT_GT(sizes.Bytes(blocks + 1, 8192), 1000000u);
}

TEST(KvSizesTest, TheFullestMemoryDecides) {
  const KvSizes sizes({kFull, kWindow}, {{100, 0}, {0, 2000}});
  const int32_t most = KvCache::MostBlocks(kWindow, 8192);
  EXPECT_EQ(sizes.Bytes(256, 8192), 2000u * most);
}

}  // namespace
}  // namespace baton
