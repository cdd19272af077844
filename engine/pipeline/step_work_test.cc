// Against sums made by hand from the shapes of small models.
#include "engine/pipeline/step_work.h"

#include <string>

#include "engine/gguf/gguf_file.h"
#include "engine/pipeline/plan.h"
#include "engine/testing/model_maker.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

// Width 64, 4 heads of 16, 2 of K and V, feed-forward 128, vocabulary 320, 2 layers.
constexpr double kKeyValueWeights = 2 * 32 * 64;
constexpr double kAttentionWeights = 64 * 64 + kKeyValueWeights + 64 * 64;
constexpr double kFeedForwardWeights = 3 * 64 * 128;
constexpr double kHeadWeights = 320 * 64;
constexpr double kNormBytes = (2 * 2 + 1) * 64 * 4;       // F32, of two layers and the head
constexpr double kKvBytesPerPosition = 2 * 2 * 32 * 2.0;  // layers, K and V, elements, f16

ModelSpec MakeSpec(const ModelOptions& options) {
  const absl::StatusOr<std::string> path = MakeModel(options, testing::TempDir());
  EXPECT_TRUE(path.ok()) << path.status();
  absl::StatusOr<GgufFile> file = GgufFile::Read(*path);
  EXPECT_TRUE(file.ok()) << file.status();
  absl::StatusOr<ModelSpec> spec = ModelSpec::Read(*file);
  EXPECT_TRUE(spec.ok()) << spec.status();
  return *std::move(spec);
}

TEST(StepWorkTest, QuantizedDenseModel) {
  ModelOptions options;
  options.type = TensorType::kQ8_0;
  const ModelSpec spec = MakeSpec(options);
  const StepWork work = CountStepWork(spec, {}, {3, 2, 10.0});
  const double layer = kAttentionWeights + kFeedForwardWeights;
  const double layers = 2 * layer;
  // Of the row without logits, K and V are all that the last layer makes.
  EXPECT_EQ(work.int8_operations, 2 * (2 * (layers + kHeadWeights) + layer + kKeyValueWeights));
  EXPECT_EQ(work.f32_operations, 0);
  const double bytes_per_weight = 34.0 / 32;
  EXPECT_EQ(work.read_bytes, bytes_per_weight * (layers + kHeadWeights + 3 * 64) + kNormBytes +
                                 10 * kKvBytesPerPosition);
}

TEST(StepWorkTest, AStepWithoutLogitsReadsNoHeadAndLittleOfTheLastLayer) {
  ModelOptions options;
  options.type = TensorType::kF32;
  const ModelSpec spec = MakeSpec(options);
  const double with = CountStepWork(spec, {}, {1, 1, 0}).read_bytes;
  const double weights = kHeadWeights + kAttentionWeights - kKeyValueWeights + kFeedForwardWeights;
  const double norms = 64;  // of the feed-forward part; the head's is counted
  EXPECT_EQ(with - CountStepWork(spec, {}, {1, 0, 0}).read_bytes, 4 * (weights + norms));
}

TEST(StepWorkTest, HeavierWeightsAreWorthMoreRows) {
  ModelOptions options;
  options.type = TensorType::kQ4_0;
  const double light = WeightRows(MakeSpec(options), {});
  options.type = TensorType::kF16;
  const double heavy = WeightRows(MakeSpec(options), {});
  EXPECT_GT(light, 1);
  EXPECT_GT(heavy, 2 * light);
  EXPECT_LT(heavy, 16);
}

TEST(StepWorkTest, TheLastStageOfAPromptHasSlack) {
  ModelOptions options;
  options.layer_count = 5;
  const ModelSpec spec = MakeSpec(options);
  const auto slack = [&](const char* ranges, int stages) {
    const absl::StatusOr<PipelinePlan> plan = PlanFromRanges(CountModelBytes(spec), ranges, stages);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return PromptSlack(spec, *plan);
  };
  const double last = kKeyValueWeights / (kAttentionWeights + kFeedForwardWeights);
  EXPECT_DOUBLE_EQ(slack("0-2,3-4", 2), 3 / (1 + last) - 1);
  EXPECT_DOUBLE_EQ(slack("0,1-2,3-4", 3), 2 / (1 + last) - 1);
  EXPECT_EQ(slack("0-1,2-4", 2), 0);
  EXPECT_EQ(slack("0-4", 1), 0);
}

TEST(StepWorkTest, FloatsWhereNothingIsRounded) {
  ModelOptions options;
  options.type = TensorType::kQ8_0;
  NumericOptions numeric;
  numeric.activations = ActivationMode::kF32;
  const StepWork rounded = CountStepWork(MakeSpec(options), {}, {1, 1, 0});
  const StepWork exact = CountStepWork(MakeSpec(options), numeric, {1, 1, 0});
  EXPECT_EQ(exact.int8_operations, 0);
  EXPECT_EQ(exact.f32_operations, rounded.int8_operations);
  EXPECT_EQ(exact.read_bytes, rounded.read_bytes);
  options.type = TensorType::kF16;
  EXPECT_EQ(CountStepWork(MakeSpec(options), {}, {1, 1, 0}).f32_operations, exact.f32_operations);
}

TEST(StepWorkTest, WindowsAreReadAsFarAsRowsSee) {
  ModelSpec spec = MakeSpec(ModelOptions());
  const auto kv_bytes = [&](const StepShape& shape) {
    const StepShape without = {shape.row_count, shape.logit_count, 0, shape.sequence_count};
    return CountStepWork(spec, {}, shape).read_bytes - CountStepWork(spec, {}, without).read_bytes;
  };
  EXPECT_EQ(kv_bytes({1, 1, 100}), 100 * kKvBytesPerPosition);
  spec.layers[1].window = 16;
  EXPECT_EQ(kv_bytes({1, 1, 10}), 10 * kKvBytesPerPosition);
  EXPECT_EQ(kv_bytes({1, 1, 100}), (100 + 16) * kKvBytesPerPosition / 2);
  EXPECT_EQ(kv_bytes({2, 2, 200, 2}), (200 + 32) * kKvBytesPerPosition / 2);
  // The window of a prompt's first row begins before it.
  EXPECT_EQ(kv_bytes({40, 1, 100}), (100 + 55) * kKvBytesPerPosition / 2);
}

TEST(StepWorkTest, ExpertsThatAreUsed) {
  ModelOptions options;
  options.type = TensorType::kQ8_0;
  options.expert_count = 4;
  options.expert_used_count = 2;
  const ModelSpec spec = MakeSpec(options);
  const double router = 4 * 64;  // F32
  const StepWork one = CountStepWork(spec, {}, {1, 1, 0});
  EXPECT_EQ(one.int8_operations,
            2 * (2 * (kAttentionWeights + 2 * kFeedForwardWeights) + kHeadWeights));
  EXPECT_EQ(one.f32_operations, 2 * 2 * router);
  // A second row finds half of the other two experts: half an expert's chance each.
  const StepWork two = CountStepWork(spec, {}, {2, 2, 0});
  EXPECT_NEAR(two.read_bytes - one.read_bytes, 34.0 / 32 * (2 * kFeedForwardWeights + 64), 1e-6);
}

}  // namespace
}  // namespace baton
