#include "engine/gguf/shards.h"

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/gguf/gguf_writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using ::testing::HasSubstr;

TEST(ShardNameTest, IsTakenApartAndPutTogether) {
  const std::optional<ShardName> name = ParseShardName("/a/b-c-00002-of-00012.gguf");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->prefix, "/a/b-c");
  EXPECT_EQ(name->number, 2);
  EXPECT_EQ(name->count, 12);
  EXPECT_EQ(name->PathOf(11), "/a/b-c-00011-of-00012.gguf");
  for (const char* other :
       {"model.gguf", "m-00003-of-00002.gguf", "m-00000-of-00002.gguf", "m-0001-of-0002.gguf",
        "m-00001-of-00002.bin", "-1-of-00002.gguf", ""}) {
    EXPECT_FALSE(ParseShardName(other).has_value()) << other;
  }
}

constexpr int kCount = 3;

// Three shards of two tensors each; `damage` sees each shard before it is written.
class ShardsTest : public testing::Test {
 protected:
  std::string PathOf(int index) const {
    return ShardName{testing::TempDir() + "/shards_test", 1, kCount}.PathOf(index + 1);
  }

  void Write(const std::function<void(int, GgufWriter*)>& damage = nullptr) {
    for (int index = 0; index < kCount; ++index) {
      GgufWriter writer;
      if (index == 0) writer.SetString("general.architecture", "llama");
      if (!broken_keys_) {
        writer.SetU32("split.no", index);
        writer.SetU32("split.count", kCount);
        writer.SetU32("split.tensors.count", 2 * kCount);
      }
      for (int t = 0; t < 2; ++t) {
        writer.AddTensor(absl::StrCat("tensor.", 2 * index + t), TensorType::kF32, {8},
                         std::vector<uint8_t>(32, static_cast<uint8_t>(2 * index + t)));
      }
      if (damage) damage(index, &writer);
      ASSERT_TRUE(writer.Write(PathOf(index)).ok());
    }
  }
  std::string Error(int index = 0) const {
    return std::string(GgufFile::Read(PathOf(index)).status().message());
  }

  bool broken_keys_ = false;  // `damage` sets them
};

TEST_F(ShardsTest, AnyShardGivesTheWholeModel) {
  Write();
  for (int given = 0; given < kCount; ++given) {
    const absl::StatusOr<GgufFile> file = GgufFile::Read(PathOf(given));
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->path(), PathOf(0));
    EXPECT_EQ(*file->Architecture(), "llama");
    EXPECT_EQ(file->shard_count(), kCount);
    ASSERT_EQ(file->tensors().size(), 2u * kCount);
    for (int t = 0; t < 2 * kCount; ++t) {
      const TensorInfo* tensor = file->FindTensor(absl::StrCat("tensor.", t));
      ASSERT_NE(tensor, nullptr) << t;
      EXPECT_EQ(tensor->shard, t / 2);
      uint8_t byte = 0xFF;
      ASSERT_TRUE(file->FileOf(*tensor).ReadAt(tensor->offset, &byte, 1).ok());
      EXPECT_EQ(byte, t);
    }
  }
}

TEST_F(ShardsTest, IdentityIsOfAllShards) {
  Write();
  const std::string identity = ToHex(*GgufFile::Read(PathOf(0))->ComputeIdentity());
  EXPECT_EQ(ToHex(*GgufFile::Read(PathOf(2))->ComputeIdentity()), identity);
  Write([](int index, GgufWriter* writer) {
    if (index == 2) writer->SetString("note", "another");
  });
  EXPECT_NE(ToHex(*GgufFile::Read(PathOf(0))->ComputeIdentity()), identity);
}

TEST_F(ShardsTest, MissingShardIsNamed) {
  Write();
  std::remove(PathOf(1).c_str());
  EXPECT_EQ(GgufFile::Read(PathOf(0)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Error(2),
              HasSubstr(absl::StrCat("part 2 of 3, '", PathOf(1), "': there is no such file")));
}

TEST_F(ShardsTest, KeysMustAgree) {
  broken_keys_ = true;
  const auto keys = [](int no, int count, int tensors) {
    return [=](int index, GgufWriter* writer) {
      writer->SetU32("split.no", index == 1 ? no : index);
      writer->SetU32("split.count", index == 1 ? count : kCount);
      writer->SetU32("split.tensors.count", index == 1 ? tensors : 6);
    };
  };
  Write(keys(0, 3, 6));
  EXPECT_THAT(Error(), HasSubstr("split.no is 0, expected 1, as the file's name has it"));
  Write(keys(1, 4, 6));
  EXPECT_THAT(Error(), HasSubstr("split.count is 4, expected 3, as the file's name has it"));
  Write(keys(1, 3, 7));
  EXPECT_THAT(Error(), HasSubstr("split.tensors.count is 7, expected 6, as in the first part"));
  Write([&](int index, GgufWriter* writer) {
    writer->SetU32("split.no", index);
    writer->SetU32("split.count", kCount);
    writer->SetU32("split.tensors.count", 99);
  });
  EXPECT_THAT(Error(), HasSubstr("split.tensors.count is 99, expected 6, the tensors that all"));
}

TEST_F(ShardsTest, NoTensorTwice) {
  Write([](int index, GgufWriter* writer) {
    if (index == 2) writer->AddTensor("tensor.0", TensorType::kF32, {8});
  });
  EXPECT_THAT(Error(), HasSubstr("tensor tensor.0 is in an earlier part too"));
}

TEST_F(ShardsTest, KeysOfAnotherModel) {
  Write([](int index, GgufWriter* writer) {
    if (index == 1) writer->SetString("general.architecture", "qwen2");
  });
  EXPECT_THAT(Error(), HasSubstr("key general.architecture differs from the first part's"));
}

TEST_F(ShardsTest, ProblemsNameTheirPart) {
  Write([](int index, GgufWriter* writer) {
    if (index == 2) writer->flaws.file_size = writer->Header().size() + 40;
  });
  EXPECT_THAT(Error(), HasSubstr(absl::StrCat("part 3 of 3, '", PathOf(2),
                                              "': tensor.5 is declared F32: 8 elements need 32")));
}

}  // namespace
}  // namespace baton
