#include "worker/listen_rules.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using testing::HasSubstr;

absl::Status Check(const std::string& address) {
  return CheckListensLocally(*ParseAddress(address));
}

TEST(ListenRulesTest, ThisMachineIsAllowed) {
  for (const char* address : {"127.0.0.1:0", "127.1.2.3:5000", "[::1]:5000", "unix:some/path"}) {
    EXPECT_TRUE(Check(address).ok()) << address;
  }
}

TEST(ListenRulesTest, OtherMachinesAreNot) {
  for (const char* address : {"0.0.0.0:5000", "[::]:5000", "10.1.2.3:5000", "128.0.0.1:1"}) {
    EXPECT_THAT(std::string(Check(address).message()), HasSubstr("--insecure")) << address;
  }
}

}  // namespace
}  // namespace baton
