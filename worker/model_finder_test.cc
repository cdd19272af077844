#include "worker/model_finder.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "engine/testing/model_maker.h"
#include "engine/testing/model_splitter.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

bool KeepLooking() { return true; }

class ModelFinderTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / "model_finder";
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "deep");
  }

  std::string Make(const std::string& name, uint64_t seed) {
    ModelOptions options;
    options.seed = seed;
    const std::string path = folder_ / name;
    EXPECT_TRUE(WriteModel(options, path).ok());
    return path;
  }

  static ModelIdentity IdentityOf(const std::string& path) {
    return *GgufFile::Read(path)->ComputeIdentity();
  }

  fs::path folder_;
};

TEST_F(ModelFinderTest, FindsAmongOthers) {
  Make("a.gguf", 1);
  const std::string wanted = Make("deep/b.gguf", 2);
  std::ofstream(folder_ / "broken.gguf") << "GGUF, it says";
  ModelFinder finder("", folder_);
  ASSERT_TRUE(finder.Check().ok());
  for (int i = 0; i < 2; ++i) {  // the second time by what it has learned
    const auto found = finder.Find(IdentityOf(wanted), KeepLooking);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->path(), wanted);
  }
}

TEST_F(ModelFinderTest, FindsAModelInSeveralFiles) {
  const std::string whole = Make("whole.gguf", 1);
  const auto shards = SplitModel(whole, folder_ / "deep" / "several", 3);
  ASSERT_TRUE(shards.ok()) << shards.status();
  const ModelIdentity identity = IdentityOf(shards->back());
  EXPECT_NE(identity, IdentityOf(whole));
  EXPECT_EQ(ModelFinder("", folder_).Find(identity, KeepLooking)->path(), shards->front());
  EXPECT_EQ(ModelFinder(shards->at(1), "").Find(identity, KeepLooking)->path(), shards->front());
  fs::remove(shards->at(1));
  EXPECT_FALSE(ModelFinder("", folder_).Find(identity, KeepLooking).ok());
  EXPECT_FALSE(ModelFinder(shards->front(), "").Check().ok());
}

TEST_F(ModelFinderTest, SeesThatAFileHasChanged) {
  const std::string path = Make("a.gguf", 1);
  const ModelIdentity old = IdentityOf(path);
  ModelFinder finder(path, "");
  ASSERT_TRUE(finder.Find(old, KeepLooking).ok());
  Make("a.gguf", 2);
  fs::last_write_time(path, fs::last_write_time(path) + std::chrono::seconds(1));
  EXPECT_FALSE(finder.Find(old, KeepLooking).ok());
  EXPECT_TRUE(finder.Find(IdentityOf(path), KeepLooking).ok());
}

TEST_F(ModelFinderTest, SaysWhereItLooked) {
  const std::string path = Make("a.gguf", 1);
  ModelIdentity other = {};
  other[5] = 0xcd;
  EXPECT_EQ(std::string(ModelFinder(path, folder_).Find(other, KeepLooking).status().message()),
            "no file of model 0000000000cd as " + path + " or under " + folder_.string() +
                ", 2 looked at");
  EXPECT_THAT(std::string(ModelFinder("", "").Find(other, KeepLooking).status().message()),
              HasSubstr("started without --model and --models"));
}

TEST_F(ModelFinderTest, LooksNoLongerThanSomebodyWaits) {
  const std::string wanted = Make("b.gguf", 2);
  Make("a.gguf", 1);
  int asked = 0;
  const auto once = [&asked] { return asked++ == 0; };
  const absl::Status status = ModelFinder("", folder_).Find(IdentityOf(wanted), once).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(asked, 2);
}

TEST_F(ModelFinderTest, ChecksWhatItIsGiven) {
  EXPECT_THAT(std::string(ModelFinder("", "no/such/folder").Check().message()),
              HasSubstr("no folder no/such/folder"));
  EXPECT_FALSE(ModelFinder("no/such/file.gguf", "").Check().ok());
}

}  // namespace
}  // namespace baton
