#include "coordinator/scheduler/prefix_tree.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

const std::vector<int32_t> kA = {1, 2, 3};
const std::vector<int32_t> kB = {1, 2, 4};

TEST(PrefixTreeTest, TheSameTokensElsewhereAreNotTheSame) {
  PrefixTree tree(2);
  PrefixNode* const a = tree.Add(nullptr, kA);
  PrefixNode* const b = tree.Add(nullptr, kB);
  PrefixNode* const a_a = tree.Add(a, kA);
  EXPECT_EQ(tree.Find(nullptr, kA), a);
  EXPECT_EQ(tree.Find(nullptr, kB), b);
  EXPECT_EQ(tree.Find(a, kA), a_a);
  EXPECT_EQ(tree.Find(b, kA), nullptr);
  EXPECT_EQ(a_a->blocks, (std::vector<int32_t>{kNoBlock, kNoBlock}));
}

TEST(PrefixTreeTest, AddingAgainHoldsTheSame) {
  PrefixTree tree(1);
  PrefixNode* const node = tree.Add(nullptr, kA);
  EXPECT_EQ(tree.Add(nullptr, kA), node);
  tree.Drop(node);
  EXPECT_EQ(tree.Find(nullptr, kA), node);
  tree.Drop(node);
  EXPECT_EQ(tree.Find(nullptr, kA), nullptr);
}

TEST(PrefixTreeTest, AParentLivesAsLongAsItsChildren) {
  PrefixTree tree(1);
  PrefixNode* const parent = tree.Add(nullptr, kA);
  PrefixNode* const child = tree.Add(parent, kB);
  PrefixNode* const other = tree.Add(parent, kA);
  tree.Drop(parent);
  tree.Drop(child);
  EXPECT_EQ(tree.Find(parent, kB), nullptr);
  EXPECT_EQ(tree.Find(nullptr, kA), parent);
  tree.Drop(other);
  EXPECT_TRUE(tree.empty());
}

}  // namespace
}  // namespace baton
