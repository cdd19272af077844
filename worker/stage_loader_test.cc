#include "worker/stage_loader.h"

#include <string>
#include <vector>

#include "engine/gguf/gguf_file.h"
#include "engine/model/model_spec.h"
#include "engine/testing/model_maker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/handshake.h"

namespace baton {
namespace {

using testing::HasSubstr;

class StageLoaderTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string path = *MakeModel({}, testing::TempDir());
    const GgufFile file = *GgufFile::Read(path);
    const ModelSpec spec = *ModelSpec::Read(file);
    config_.model_identity = *file.ComputeIdentity();
    config_.stage_count = 2;
    config_.role.layers = {0, 1};
    config_.role.embedding = true;
    config_.layer_count = spec.layer_count;
    config_.width = spec.width;
    config_.vocabulary_size = spec.vocabulary_size;
    config_.kv_block_counts = {4};
    config_.context_length = 128;
    StageLoaderOptions options;
    options.model_file = path;
    loader_ = *MakeStageLoader(options);
  }

  absl::StatusOr<std::unique_ptr<Stage>> Load() {
    return loader_(config_, [this](uint64_t done, uint64_t total) {
      EXPECT_LE(done, total);
      bytes_done_ = done;
      return !cancelled_;
    });
  }
  std::string Error() { return std::string(Load().status().message()); }

  StageConfig config_;
  StageLoader loader_;
  uint64_t bytes_done_ = 0;
  bool cancelled_ = false;
};

TEST_F(StageLoaderTest, LoadsItsLayersAndReportsThem) {
  const auto stage = Load();
  ASSERT_TRUE(stage.ok()) << stage.status();
  EXPECT_EQ((*stage)->role().layers.end, 1);
  EXPECT_TRUE((*stage)->role().embedding);
  EXPECT_GT((*stage)->Stats().weight_bytes, 0u);
  EXPECT_EQ(bytes_done_, (*stage)->Stats().weight_bytes);
  Batch batch;
  batch.spans.push_back({.tokens = {1, 2}, .first_position = 0, .block_table = {3}});
  const auto output = (*stage)->Forward(batch, {});
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->hidden.size(), 2u * config_.width);
}

TEST_F(StageLoaderTest, EndsWhenNobodyWaits) {
  cancelled_ = true;
  EXPECT_EQ(Load().status().code(), absl::StatusCode::kCancelled);
}

TEST_F(StageLoaderTest, RefusesAnotherModel) {
  config_.model_identity[0] ^= 1;
  EXPECT_THAT(Error(), HasSubstr("no file of model " + ShortId(config_.model_identity)));
}

TEST_F(StageLoaderTest, RefusesOtherDimensions) {
  config_.width += 1;
  EXPECT_EQ(Error(), "the model's width is 64 here, the coordinator says 65");
}

TEST_F(StageLoaderTest, RefusesOptionsItDoesNotKnow) {
  config_.activations = "int4";
  EXPECT_EQ(Error(), "activations 'int4' are unknown; there are int8 and f32");
  config_.activations = "f32";
  config_.kv_type = "f8";
  EXPECT_THAT(Error(), HasSubstr("f8"));
}

}  // namespace
}  // namespace baton
