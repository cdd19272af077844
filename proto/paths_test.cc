#include "proto/paths.h"

#include <cstdlib>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(ResolvePathTest, StartsWhereThePersonStands) {
  ASSERT_EQ(setenv("BUILD_WORKING_DIRECTORY", "/stand/here", 1), 0);
  EXPECT_EQ(ResolvePath("m.gguf"), "/stand/here/m.gguf");
  EXPECT_EQ(ResolvePath("/m.gguf"), "/m.gguf");
  ASSERT_EQ(unsetenv("BUILD_WORKING_DIRECTORY"), 0);
  EXPECT_EQ(ResolvePath("m.gguf"), "m.gguf");
}

TEST(ResolveAddressTest, SocketsAreWhereThePersonStands) {
  ASSERT_EQ(setenv("BUILD_WORKING_DIRECTORY", "/stand/here", 1), 0);
  EXPECT_EQ(ResolveAddress("unix:a.sock"), "unix:/stand/here/a.sock");
  EXPECT_EQ(ResolveAddress("unix:/a.sock"), "unix:/a.sock");
  EXPECT_EQ(ResolveAddress("a.sock:1"), "a.sock:1");
  ASSERT_EQ(unsetenv("BUILD_WORKING_DIRECTORY"), 0);
}

}  // namespace
}  // namespace baton
