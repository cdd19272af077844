#include "engine/model/cache_groups.h"

#include <algorithm>
#include <vector>

#include "engine/kernels/attention.h"
#include "engine/model/kv_pool.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

// Layers with these windows, 2 heads of K and V of 8 elements each.
ModelSpec SpecOf(const std::vector<int>& windows) {
  ModelSpec spec;
  spec.context_length = 1000;
  spec.layer_count = static_cast<int>(windows.size());
  spec.key_size = spec.value_size = 8;
  for (const int window : windows) {
    spec.layers.emplace_back();
    spec.layers.back().kv_head_count = 2;
    spec.layers.back().window = window;
  }
  return spec;
}

TEST(CacheGroupsTest, LayersThatSeeEquallyFarAreOneGroup) {
  const std::vector<CacheGroup> groups = CacheGroupsOf(SpecOf({64, 0, 128, 64, 1000, 0}));
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].window, 0);
  EXPECT_EQ(groups[0].layers, (std::vector<int>{1, 4, 5}));
  EXPECT_EQ(groups[1].window, 128);
  EXPECT_EQ(groups[1].layers, std::vector<int>{2});
  EXPECT_EQ(groups[2].window, 64);
  EXPECT_EQ(groups[2].layers, (std::vector<int>{0, 3}));
}

TEST(CacheGroupsTest, AModelWithoutWindowsHasOneGroup) {
  const std::vector<CacheGroup> groups = CacheGroupsOf(SpecOf({0, 0}));
  ASSERT_EQ(groups.size(), 1u);
  const BlockRange range = groups[0].BlocksOf(70, 30);
  EXPECT_EQ(range.begin, 0);
  EXPECT_EQ(range.end, 4);
}

// Against a walk over all positions that the rows see.
TEST(CacheGroupsTest, BlocksAreThoseThatRowsSee) {
  for (const int window : {1, 2, 31, 32, 33, 100}) {
    const CacheGroup group = {.window = window, .layers = {}};
    for (int first = 0; first < 200; ++first) {
      for (const int rows : {1, 5, 40}) {
        const int oldest = std::max(0, first + 1 - window);
        const BlockRange range = group.BlocksOf(first, rows);
        ASSERT_EQ(range.begin, oldest / kKvBlockTokens) << window << " " << first;
        ASSERT_EQ(range.end, (first + rows - 1) / kKvBlockTokens + 1) << window << " " << first;
      }
    }
  }
}

TEST(KvPoolTest, EachGroupHasBlocksOfItsOwnLayers) {
  const ModelSpec spec = SpecOf({64, 0, 64, 64});
  const int64_t layer_bytes = kKvBlockTokens * 2 * (8 + 8) * 2;  // f16
  const KvBlockShape all(spec, 0, 4, KvType::kF16);
  EXPECT_EQ(all.bytes, (std::vector<int64_t>{layer_bytes, 3 * layer_bytes}));
  EXPECT_EQ(all.places[3].group, 1);
  EXPECT_EQ(all.places[3].offset, 2 * layer_bytes);

  absl::StatusOr<KvPool> pool = KvPool::Create(spec, 1, 4, KvType::kF16, {5, 3}, false);
  ASSERT_TRUE(pool.ok()) << pool.status();
  EXPECT_EQ(pool->place(0).group, 0);
  EXPECT_EQ(pool->place(1).offset, 0);
  EXPECT_EQ(pool->block(1, 0) - pool->block(0, 4), layer_bytes);
  EXPECT_EQ(pool->block(1, 1) - pool->block(1, 0), 2 * layer_bytes);
}

TEST(KvPoolTest, AGroupWithoutLayersTakesNoMemory) {
  const ModelSpec spec = SpecOf({64, 0});
  absl::StatusOr<KvPool> pool = KvPool::Create(spec, 0, 1, KvType::kF16, {1 << 30, 3}, false);
  ASSERT_TRUE(pool.ok()) << pool.status();
  EXPECT_FALSE(pool->has_layers(0));
  EXPECT_TRUE(pool->has_layers(1));
}

}  // namespace
}  // namespace baton
