#include "coordinator/cluster/worker_endpoint.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using testing::HasSubstr;

TEST(WorkerListTest, KeepsTheOrder) {
  const auto workers = ParseWorkerList("b:2,a:1,[::1]:3");
  ASSERT_TRUE(workers.ok()) << workers.status();
  ASSERT_EQ(workers->size(), 3u);
  EXPECT_EQ((*workers)[0].address, "b:2");
  EXPECT_EQ((*workers)[0].name, "worker b:2");
  EXPECT_EQ((*workers)[2].address, "[::1]:3");
}

TEST(WorkerListTest, NamesWhatIsWrong) {
  EXPECT_THAT(std::string(ParseWorkerList("a:1,b").status().message()), HasSubstr("'b' is not"));
  EXPECT_THAT(std::string(ParseWorkerList("a:1,").status().message()), HasSubstr("'' is not"));
  EXPECT_THAT(std::string(ParseWorkerList("a:1,a:1").status().message()),
              HasSubstr("worker a:1 is named twice"));
}

}  // namespace
}  // namespace baton
