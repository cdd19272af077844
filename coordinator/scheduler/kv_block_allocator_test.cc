#include "coordinator/scheduler/kv_block_allocator.h"

#include "engine/pipeline/local_stage.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using Table = std::vector<int32_t>;

TEST(KvBlockAllocatorTest, GivesWhatPositionsNeed) {
  KvBlockAllocator allocator(4);
  Table table;
  ASSERT_TRUE(allocator.Extend(0, table).ok());
  EXPECT_EQ(table, Table{});
  ASSERT_TRUE(allocator.Extend(1, table).ok());
  EXPECT_EQ(table, Table{0});
  ASSERT_TRUE(allocator.Extend(kKvBlockTokens, table).ok());
  EXPECT_EQ(table, Table{0});
  ASSERT_TRUE(allocator.Extend(kKvBlockTokens + 1, table).ok());
  EXPECT_EQ(table, (Table{0, 1}));
  ASSERT_TRUE(allocator.Extend(3, table).ok());
  EXPECT_EQ(table, (Table{0, 1}));
  EXPECT_EQ(allocator.free_count(), 2);
}

TEST(KvBlockAllocatorTest, RefusesMoreThanIsFreeAndChangesNothing) {
  KvBlockAllocator allocator(3);
  Table first;
  Table second;
  ASSERT_TRUE(allocator.Extend(2 * kKvBlockTokens, first).ok());
  const absl::Status status = allocator.Extend(2 * kKvBlockTokens, second);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("1 of 3"), absl::string_view::npos) << status;
  EXPECT_TRUE(second.empty());
  EXPECT_EQ(allocator.free_count(), 1);
}

TEST(KvBlockAllocatorTest, TakesFreedBlocksAgain) {
  KvBlockAllocator allocator(3);
  Table table;
  ASSERT_TRUE(allocator.Extend(3 * kKvBlockTokens, table).ok());
  allocator.Free({1});
  Table other;
  ASSERT_TRUE(allocator.Extend(1, other).ok());
  EXPECT_EQ(other, Table{1});
  allocator.Free(other);
  allocator.Free({0, 2});
  EXPECT_EQ(allocator.free_count(), 3);
}

TEST(KvBlockAllocatorDeathTest, FreeingTwiceIsOurBug) {
  KvBlockAllocator allocator(2);
  Table table;
  ASSERT_TRUE(allocator.Extend(1, table).ok());
  allocator.Free(table);
  EXPECT_DEATH(allocator.Free(table), "taken_");
}

}  // namespace
}  // namespace baton
