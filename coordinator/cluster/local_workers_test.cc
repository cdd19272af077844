#include "coordinator/cluster/local_workers.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A program that stands in for the worker.
LocalWorkersOptions Options(const std::string& script) {
  const fs::path path = fs::path(testing::TempDir()) / "fake_worker";
  fs::remove(path);
  std::ofstream(path) << "#!/bin/sh\n" << script;
  fs::permissions(path, fs::perms::owner_all);
  LocalWorkersOptions options;
  options.binary = path;
  options.count = 2;
  options.model_path = "model.gguf";
  return options;
}

TEST(LocalWorkersTest, HaveAFolderOfTheirOwnAsLongAsTheyRun) {
  auto workers = LocalWorkers::Start(Options("echo \"$@\" >&2; echo R >&3; read line <&3\n"));
  ASSERT_TRUE(workers.ok()) << workers.status();
  const auto endpoints = (*workers)->Endpoints();
  ASSERT_EQ(endpoints.size(), 2u);
  EXPECT_NE(endpoints[0].address, endpoints[1].address);
  EXPECT_EQ(endpoints[1].name, "worker 1");
  EXPECT_THAT(endpoints[1].detail, HasSubstr("pid "));
  EXPECT_EQ(endpoints[1].how_it_ended(), std::nullopt);
  EXPECT_THAT((*workers)->Stderr(), HasSubstr("worker 1: --listen " + endpoints[1].address +
                                              " --model model.gguf --threads 1"));
  const fs::path folder = fs::path(endpoints[0].address.substr(5)).parent_path();
  EXPECT_EQ(fs::status(folder).permissions(), fs::perms::owner_all);
  workers->reset();
  EXPECT_FALSE(fs::exists(folder));
}

TEST(LocalWorkersTest, NamesTheOneThatDoesNotStart) {
  const auto workers = LocalWorkers::Start(Options("echo 'error: too old' >&2; exit 1\n"));
  EXPECT_THAT(
      std::string(workers.status().message()),
      testing::MatchesRegex("worker 0 \\(pid [0-9]+\\) ended with exit code 1: error: too old"));
}

}  // namespace
}  // namespace baton
