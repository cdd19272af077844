#include "engine/pipeline/local_stage.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/cache_groups.h"
#include "engine/pipeline/local_pipeline.h"
#include "engine/testing/architecture_models.h"
#include "engine/testing/model_maker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using ::testing::HasSubstr;

class LocalStageTest : public ::testing::Test {
 protected:
  LocalStageTest() {
    model_.context_length = 100;
    options_.role = {{0, 2}, true, true};
    options_.kv_block_counts = {8};
    options_.poison_kv = true;
  }

  std::string Path() {
    const absl::StatusOr<std::string> path = MakeModel(model_, ::testing::TempDir());
    EXPECT_TRUE(path.ok()) << path.status();
    return path.value_or("");
  }
  absl::StatusOr<std::unique_ptr<LocalStage>> LoadFrom(const std::string& path) {
    const absl::StatusOr<GgufFile> file = GgufFile::Read(path);
    if (!file.ok()) return file.status();
    return LocalStage::Load(*file, options_);
  }
  std::unique_ptr<LocalStage> Load() {
    absl::StatusOr<std::unique_ptr<LocalStage>> stage = LoadFrom(Path());
    EXPECT_TRUE(stage.ok()) << stage.status();
    return std::move(stage).value();
  }

  static Batch BatchOf(std::vector<int32_t> tokens, int32_t first_position,
                       std::vector<int32_t> table) {
    Batch batch;
    batch.spans.push_back({std::move(tokens), first_position, std::move(table)});
    return batch;
  }
  static OutputSpec Greedy() {
    OutputSpec spec;
    spec.kind = OutputSpec::Kind::kSample;
    spec.sample.params.temperature = 0;
    spec.return_logits = true;
    return spec;
  }
  static OutputSpec Score(int32_t first_row, std::vector<int32_t> targets) {
    OutputSpec spec;
    spec.kind = OutputSpec::Kind::kScore;
    spec.first_scored_row = first_row;
    spec.targets = std::move(targets);
    return spec;
  }

  ModelOptions model_;
  LocalStageOptions options_;
};

TEST_F(LocalStageTest, EveryNumberOfABatchIsChecked) {
  const std::unique_ptr<LocalStage> stage = Load();
  const auto error = [&stage](const Batch& batch, std::vector<OutputSpec> outputs) {
    const absl::Status status = stage->Forward(batch, outputs).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  const std::vector<OutputSpec> none(1);
  EXPECT_EQ(error(Batch(), {}), "a batch has 0 rows, expected 1 to 8192");
  EXPECT_EQ(error(BatchOf({}, 0, {0}), none), "a batch has 0 rows, expected 1 to 8192");
  EXPECT_EQ(error(BatchOf(std::vector<int32_t>(8193, 1), 0, {0}), none),
            "a batch has 8193 rows, expected 1 to 8192");
  EXPECT_EQ(error(BatchOf({320}, 0, {0}), none), "token 320, expected 0 to 319");
  EXPECT_EQ(error(BatchOf({-1}, 0, {0}), none), "token -1, expected 0 to 319");
  EXPECT_EQ(error(BatchOf({1}, 100, {0, 1, 2, 3}), none),
            "a span has 1 rows at position 100, expected positions from 0 to 99");
  EXPECT_EQ(error(BatchOf({1, 2}, std::numeric_limits<int32_t>::max(), {0}), none),
            "a span has 2 rows at position 2147483647, expected positions from 0 to 99");
  EXPECT_EQ(error(BatchOf({1}, -1, {0}), none),
            "a span has 1 rows at position -1, expected positions from 0 to 99");
  EXPECT_EQ(error(BatchOf({1}, 32, {0}), none), "a block table has 1 entries, expected 2");
  EXPECT_EQ(error(BatchOf({1}, 0, {0, 1, 2, 3, 4}), none),
            "a block table has 5 entries, expected 1");
  EXPECT_EQ(error(BatchOf({1}, 0, {8}), none), "KV block 8, expected 0 to 7");
  EXPECT_EQ(error(BatchOf({1}, 0, {-1}), none), "KV block -1, expected 0 to 7");
  EXPECT_EQ(error(BatchOf({1}, 0, {0}), {}), "0 outputs for a batch of 1 spans");
  EXPECT_EQ(error(BatchOf({1, 2}, 0, {0}), {Score(1, {3, 4})}),
            "rows 1 to 2 are to be scored in a span of 2");
  EXPECT_EQ(error(BatchOf({1, 2}, 0, {0}), {Score(-1, {3})}),
            "rows -1 to -1 are to be scored in a span of 2");
  EXPECT_EQ(error(BatchOf({1, 2}, 0, {0}), {Score(0, {320})}),
            "token 320 to be scored, expected 0 to 319");
  OutputSpec two_rows = Greedy();
  two_rows.sampled_rows = 2;
  EXPECT_EQ(error(BatchOf({1}, 0, {0}), {two_rows}), "2 rows are to be sampled in a span of 1");
  Batch failed = BatchOf({1}, 0, {0});
  failed.failures = {{1, absl::InternalError("")}};
  EXPECT_EQ(error(failed, none), "span 1 has failed, in a batch of 1");
  Batch with_hidden = BatchOf({1}, 0, {0});
  with_hidden.hidden.resize(64);
  EXPECT_EQ(error(with_hidden, none), "a batch has 64 hidden elements, expected 0");
}

// A table has of each cache group what the rows see or write: here all blocks, and those of a
// window of 24 positions.
TEST_F(LocalStageTest, ATableHasWhatRowsSeeInEveryGroup) {
  const std::string path = ::testing::TempDir() + "/windows.gguf";
  ASSERT_TRUE(WriteArchitectureModel(*FindArchitectureModel("gemma3"), {}, path).ok());
  options_.role = {{0, 7}, true, true};
  options_.kv_block_counts = {8, 3};
  const absl::StatusOr<std::unique_ptr<LocalStage>> stage = LoadFrom(path);
  ASSERT_TRUE(stage.ok()) << stage.status();
  const auto run = [&](const Batch& batch) {
    const absl::StatusOr<StageOutput> output = (*stage)->Forward(batch, {Greedy()});
    return std::string((output.ok() ? output->outputs[0].status : output.status()).message());
  };
  EXPECT_EQ(run(BatchOf({1}, 100, {0, 1, 2, 3, 0, 1, 2})),
            "a block table has 7 entries, expected 6");
  EXPECT_EQ(run(BatchOf({1}, 100, {0, 1, 2, 3, 0, 3})), "KV block 3, expected 0 to 2");
  EXPECT_EQ(run(BatchOf({1}, 100, {0, 1, 2, 8, 0, 1})), "KV block 8, expected 0 to 7");
  EXPECT_EQ(run(BatchOf(std::vector<int32_t>(60, 1), 0, {0, 1, 0, 1})), "");
  // Blocks before the window are not there, and all that was never written is NaN.
  EXPECT_EQ(run(BatchOf(std::vector<int32_t>(32, 1), 60, {0, 1, 2, 1, 2})), "");
  EXPECT_EQ(run(BatchOf({1}, 92, {0, 1, 2, 2})), "");
}

TEST_F(LocalStageTest, HiddenRowsComeInAndGoOut) {
  options_.role = {{0, 1}, true, false};
  const std::unique_ptr<LocalStage> first = Load();
  options_.role = {{1, 2}, false, true};
  const std::unique_ptr<LocalStage> second = Load();
  Batch batch = BatchOf({5, 6, 7}, 0, {3});
  absl::StatusOr<StageOutput> hidden = first->Forward(batch, {});
  ASSERT_TRUE(hidden.ok()) << hidden.status();
  batch.hidden = std::move(hidden->hidden);
  EXPECT_EQ(batch.hidden.size(), 3u * 64);
  const absl::StatusOr<StageOutput> output = second->Forward(batch, {Greedy()});
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->outputs[0].logits.size(), 320u);
  batch.hidden.pop_back();
  EXPECT_FALSE(second->Forward(batch, {Greedy()}).ok());
}

// A span beside one that goes wrong gives the bits that it gives alone, at every stage.
TEST_F(LocalStageTest, RowsThatAreNotNumbersFailTheirSpanAlone) {
  model_.layer_count = 3;
  options_.role = {{1, 2}, false, false};
  const std::unique_ptr<LocalStage> middle = Load();
  options_.role = {{2, 3}, false, true};
  const std::unique_ptr<LocalStage> last = Load();
  Batch alone = BatchOf({5, 6}, 0, {3});
  alone.hidden.assign(2 * 64, 0.5f);
  Batch both = BatchOf({7, 8, 9}, 0, {2});
  both.spans.push_back(alone.spans[0]);
  both.hidden.assign(3 * 64, 1.0f);
  both.hidden[2 * 64 + 1] = std::numeric_limits<float>::quiet_NaN();
  both.hidden.insert(both.hidden.end(), alone.hidden.begin(), alone.hidden.end());
  for (Batch* batch : {&alone, &both}) {
    absl::StatusOr<StageOutput> output = middle->Forward(*batch, {});
    ASSERT_TRUE(output.ok()) << output.status();
    batch->hidden = std::move(output->hidden);
    batch->failures = std::move(output->failures);
  }
  EXPECT_TRUE(alone.failures.empty());
  ASSERT_EQ(both.failures.size(), 1u);
  const absl::StatusOr<StageOutput> expected = last->Forward(alone, {Greedy()});
  const absl::StatusOr<StageOutput> output = last->Forward(both, {Greedy(), Greedy()});
  ASSERT_TRUE(output.ok() && expected.ok()) << output.status();
  EXPECT_EQ(output->outputs[0].status,
            absl::InternalError("the stage of layers 1 to 1 computed hidden values that are not "
                                "finite at position 2"));
  EXPECT_TRUE(output->outputs[0].samples.empty());
  EXPECT_TRUE(output->outputs[1].status.ok());
  EXPECT_EQ(output->outputs[1].logits, expected->outputs[0].logits);
}

// Several rows of a span sampled at once are what one after the other gives: counter and history
// follow the row.
TEST_F(LocalStageTest, SampledRowsAreAsOneByOne) {
  const std::unique_ptr<LocalStage> stage = Load();
  const std::vector<int32_t> tokens = {9, 8, 7, 6, 5, 6};
  OutputSpec spec;
  spec.kind = OutputSpec::Kind::kSample;
  spec.return_logits = true;
  spec.sample.params.temperature = 3.0f;
  spec.sample.params.repeat_penalty = 5.0f;
  spec.sample.params.seed = 3;
  const auto history = [&](int rows) { return std::vector(tokens.begin(), tokens.begin() + rows); };
  spec.sampled_rows = 3;
  spec.sample.counter = 4;
  spec.sample.history = history(4);
  const absl::StatusOr<StageOutput> output = stage->Forward(BatchOf(tokens, 0, {0}), {spec});
  ASSERT_TRUE(output.ok()) << output.status();
  const SpanOutput& together = output->outputs[0];
  ASSERT_EQ(together.samples.size(), 3u);
  spec.sampled_rows = 1;
  for (int i = 0; i < 3; ++i) {
    spec.sample.counter = 4 + i;
    spec.sample.history = history(4 + i);
    const absl::StatusOr<StageOutput> alone =
        stage->Forward(BatchOf(history(4 + i), 0, {1}), {spec});
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_EQ(alone->outputs[0].samples[0].token, together.samples[i].token);
    EXPECT_TRUE(std::equal(alone->outputs[0].logits.begin(), alone->outputs[0].logits.end(),
                           together.logits.begin() + i * 320));
  }
}

// Rows without output end before the last layer's results: what they leave behind, and the rows
// beside them, are as if all had an output. For every architecture, as each stores K and V its way.
TEST_F(LocalStageTest, RowsWithoutOutputLeaveTheSameKeysAndValues) {
  const std::string path = ::testing::TempDir() + "/without_output.gguf";
  const std::vector<int32_t> read = {9, 8, 7, 6, 5, 4, 3, 2};
  const std::vector<int32_t> beside = {11, 12, 13};
  for (const ArchitectureModel& variant : AllArchitectureModels()) {
    SCOPED_TRACE(variant.name);
    ASSERT_TRUE(WriteArchitectureModel(variant, {}, path).ok());
    const absl::StatusOr<GgufFile> file = GgufFile::Read(path);
    ASSERT_TRUE(file.ok()) << file.status();
    const absl::StatusOr<ModelSpec> spec = ModelSpec::Read(*file);
    ASSERT_TRUE(spec.ok()) << spec.status();
    const size_t groups = CacheGroupsOf(*spec).size();
    options_.role = {{0, spec->layer_count}, true, true};
    options_.kv_block_counts.assign(groups, 2);
    // The logits behind what was read, and of the span beside it: all rows of both spans have an
    // output, or of the first none and of the second its last row.
    const auto run = [&](bool all) {
      absl::StatusOr<std::unique_ptr<LocalStage>> stage = LocalStage::Load(*file, options_);
      EXPECT_TRUE(stage.ok()) << stage.status();
      Batch batch = BatchOf(read, 0, std::vector<int32_t>(groups, 0));
      batch.spans.push_back({beside, 0, std::vector<int32_t>(groups, 1)});
      OutputSpec last = Greedy();
      if (all) last.sampled_rows = beside.size();
      const OutputSpec first = all ? Score(0, read) : OutputSpec();
      const absl::StatusOr<StageOutput> output = (*stage)->Forward(batch, {first, last});
      EXPECT_TRUE(output.ok()) << output.status();
      const absl::StatusOr<StageOutput> next = (*stage)->Forward(
          BatchOf({1}, static_cast<int32_t>(read.size()), std::vector<int32_t>(groups, 0)),
          {Greedy()});
      EXPECT_TRUE(next.ok()) << next.status();
      EXPECT_TRUE(next->outputs[0].status.ok()) << next->outputs[0].status;
      std::vector<float> logits = next->outputs[0].logits;
      const std::vector<float>& others = output->outputs[1].logits;
      logits.insert(logits.end(), others.end() - spec->vocabulary_size, others.end());
      return logits;
    };
    EXPECT_EQ(run(/*all=*/false), run(/*all=*/true));
  }
}

// A row that nobody asks for is still told when it is not a number.
TEST_F(LocalStageTest, RowsWithoutOutputFailToo) {
  options_.role = {{1, 2}, false, true};
  const std::unique_ptr<LocalStage> last = Load();
  Batch batch = BatchOf({7, 8, 9}, 0, {2});
  batch.hidden.assign(3 * 64, 1.0f);
  batch.hidden[64 + 1] = std::numeric_limits<float>::infinity();
  for (const OutputSpec& spec : {OutputSpec(), Greedy()}) {
    const absl::StatusOr<StageOutput> output = last->Forward(batch, {spec});
    ASSERT_TRUE(output.ok()) << output.status();
    EXPECT_EQ(
        output->outputs[0].status.message(),
        "the stage of layers 1 to 1 computed hidden values that are not finite at position 1");
  }
}

TEST_F(LocalStageTest, ScoresAreLogProbabilitiesOfTheRowsAskedFor) {
  const std::unique_ptr<LocalStage> stage = Load();
  const std::vector<int32_t> tokens = {9, 8, 7, 6, 5};
  const absl::StatusOr<StageOutput> scored =
      stage->Forward(BatchOf(tokens, 0, {0}), {Score(1, {11, 12, 13})});
  ASSERT_TRUE(scored.ok()) << scored.status();
  const std::vector<double> scores = scored->outputs[0].scores;
  ASSERT_EQ(scores.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    const std::vector<int32_t> prefix(tokens.begin(), tokens.begin() + 2 + i);
    const absl::StatusOr<StageOutput> sampled = stage->Forward(BatchOf(prefix, 0, {1}), {Greedy()});
    ASSERT_TRUE(sampled.ok()) << sampled.status();
    const SpanOutput& output = sampled->outputs[0];
    double sum = 0;
    for (const float logit : output.logits) sum += std::exp(static_cast<double>(logit));
    EXPECT_NEAR(scores[i], output.logits[11 + i] - std::log(sum), 1e-9);
  }
}

TEST_F(LocalStageTest, MoreRowsThanTheHeadTakesAtATime) {
  const std::unique_ptr<LocalStage> stage = Load();
  const std::vector<int32_t> tokens(90, 17);
  const absl::StatusOr<StageOutput> output =
      stage->Forward(BatchOf(tokens, 0, {0, 1, 2}), {Score(0, tokens)});
  ASSERT_TRUE(output.ok()) << output.status();
  for (const double score : output->outputs[0].scores) {
    EXPECT_LT(score, 0);
  }
}

TEST_F(LocalStageTest, WeightsThatAreNotNumbersAreNamed) {
  model_.type = TensorType::kQ8_0;
  const std::string path = Path();
  const std::string broken = path + ".broken";
  std::filesystem::copy_file(path, broken, std::filesystem::copy_options::overwrite_existing);
  const absl::StatusOr<GgufFile> file = GgufFile::Read(path);
  ASSERT_TRUE(file.ok());
  const uint64_t byte = file->FindTensor("blk.1.ffn_down.weight")->offset + 5 * 34;
  std::fstream stream(broken, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekp(static_cast<std::streamoff>(byte));
  stream << std::string("\x00\x7e", 2);  // the scale of block 5: NaN
  stream.close();
  const absl::Status status = LoadFrom(broken).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("tensor blk.1.ffn_down.weight, block 5, byte " + std::to_string(byte)));
  options_.role = {{0, 1}, true, false};
  EXPECT_TRUE(LoadFrom(broken).ok());
}

TEST_F(LocalStageTest, ATruncatedFileIsAnError) {
  const std::string path = Path();
  const std::string cut = path + ".cut";
  std::filesystem::copy_file(path, cut, std::filesystem::copy_options::overwrite_existing);
  const absl::StatusOr<GgufFile> file = GgufFile::Read(cut);
  ASSERT_TRUE(file.ok());
  std::filesystem::resize_file(cut, file->data_offset() + 1000);
  EXPECT_EQ(LocalStage::Load(*file, options_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(LocalStageTest, ProgressEndsAtTheBytesOfTheStage) {
  options_.role = {{1, 2}, false, true};
  uint64_t last = 0, total = 0;
  options_.progress = [&](uint64_t done, uint64_t all) {
    EXPECT_GE(done, last);
    last = done;
    total = all;
    return true;
  };
  const std::unique_ptr<LocalStage> stage = Load();
  EXPECT_GT(total, 0u);
  EXPECT_EQ(last, total);
  EXPECT_EQ(stage->Stats().weight_bytes, total);
  EXPECT_EQ(stage->Stats().read_bytes, total);
  EXPECT_GT(stage->Stats().resident_bytes, total);
}

TEST_F(LocalStageTest, ALoadThatNobodyWaitsForEnds) {
  options_.progress = [](uint64_t, uint64_t) { return false; };
  EXPECT_EQ(LoadFrom(Path()).status(), absl::CancelledError("loading was cancelled"));
}

TEST_F(LocalStageTest, ATiedEmbeddingIsReadOnceByOneStage) {
  model_.tied_output = true;
  const std::unique_ptr<LocalStage> whole = Load();
  EXPECT_EQ(whole->Stats().read_bytes, whole->Stats().weight_bytes);
  options_.role.head = false;
  EXPECT_EQ(Load()->Stats().read_bytes, whole->Stats().read_bytes - 64 * 4);  // the final norm
}

TEST_F(LocalStageTest, ImpossibleOptionsAreNamed) {
  const auto error = [this] { return std::string(LoadFrom(Path()).status().message()); };
  options_.role.layers = {1, 3};
  EXPECT_EQ(error(), "a stage of layers [1, 3) was asked for; the model has 2");
  options_.role.layers = {1, 1};
  EXPECT_EQ(error(), "a stage of layers [1, 1) was asked for; the model has 2");
  options_.role.layers = {0, 2};
  options_.role.shared_logits = 1000;
  EXPECT_THAT(error(), HasSubstr("a stage was asked to share 1000 of the model's"));
  options_.role.shared_logits = 0;
  options_.kv_block_counts = {0};
  EXPECT_EQ(
      error(),
      "a stage of 1 threads and 0 KV blocks was asked for, expected at least 1 of each, for 1 "
      "cache group");
  options_.kv_block_counts = {4, 4};
  EXPECT_THAT(error(), HasSubstr("4 and 4 KV blocks was asked for"));
  options_.kv_block_counts = {1};
  options_.numeric.kv_type = KvType::kQ8_0;
  EXPECT_EQ(error(),
            "cache type q8_0 needs heads of a multiple of 32 elements; this model's have 16 and "
            "16");
}

TEST_F(LocalStageTest, KvBlockBytesFollowLayersAndType) {
  const absl::StatusOr<GgufFile> file = GgufFile::Read(Path());
  ASSERT_TRUE(file.ok());
  const absl::StatusOr<ModelSpec> spec = ModelSpec::Read(*file);
  ASSERT_TRUE(spec.ok());
  const uint64_t elements = 32 * 2 * 16 * 2;  // positions, heads, head size, K and V
  using Bytes = std::vector<uint64_t>;
  EXPECT_EQ(KvBlockBytes(*spec, {0, 1}, KvType::kF32), Bytes{elements * 4});
  EXPECT_EQ(KvBlockBytes(*spec, {0, 2}, KvType::kF16), Bytes{elements * 2 * 2});
}

TEST_F(LocalStageTest, PipelineWantsItsStepsInOrder) {
  std::vector<std::unique_ptr<Stage>> stages;
  stages.push_back(Load());
  LocalPipeline pipeline(std::move(stages));
  Batch batch = BatchOf({1}, 0, {0});
  batch.step = 1;
  EXPECT_EQ(pipeline.Submit(batch, {Greedy()}).message(), "step 1 submitted, expected 0");
  batch.step = 0;
  EXPECT_TRUE(pipeline.Submit(batch, {Greedy()}).ok());
  batch.step = 1;
  batch.spans[0].first_position = 1;
  EXPECT_TRUE(pipeline.Submit(batch, {Greedy()}).ok());
  for (uint64_t step = 0; step < 2; ++step) {
    const absl::StatusOr<StepResult> result = pipeline.Next();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->step, step);
    EXPECT_EQ(result->stages.size(), 1u);
  }
}

}  // namespace
}  // namespace baton
