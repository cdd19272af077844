#include "coordinator/bench/markdown_table.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(MarkdownTableTest, AlignsByCharacters) {
  const MarkdownTable table({{"name", false, 6}, {"t/s", true, 7}});
  EXPECT_EQ(table.Header(),
            "| name   |     t/s |\n"
            "| ------ | ------: |\n");
  EXPECT_EQ(table.Line({"a", "1 \u00b1 2"}), "| a      |   1 \u00b1 2 |\n");
  EXPECT_EQ(table.Line({"too long", "1"}), "| too long |       1 |\n");
}

}  // namespace
}  // namespace baton
