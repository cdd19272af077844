#include "engine/base/number_text.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(NumberTextTest, GroupsByThree) {
  EXPECT_EQ(WithThousands(0), "0");
  EXPECT_EQ(WithThousands(999), "999");
  EXPECT_EQ(WithThousands(1000), "1,000");
  EXPECT_EQ(WithThousands(65536000), "65,536,000");
  EXPECT_EQ(WithThousands(UINT64_MAX), "18,446,744,073,709,551,615");
}

}  // namespace
}  // namespace baton
