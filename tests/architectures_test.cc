// Every architecture and variant, as a tiny model made in code: the tokens and logits of the
// reference, and the same bits however the work is cut. tests/architectures has what the reference
// (llama.cpp) made of them; tools/reference_logits writes it.
#include "engine/model/arch/architectures.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "engine/kernels/isa.h"
#include "engine/testing/architecture_models.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/stage_chain.h"

namespace baton {
namespace {

// Both round in single precision, and in another order. Logits lie about 4 apart.
constexpr float kTolerance = 2e-3f;
// Beyond an attention block and every window, and no multiple of anything.
constexpr int64_t kPromptSize = kAttentionBlock + 37;
constexpr int64_t kWhole = 1 << 20;
constexpr NumericOptions kExact = {ActivationMode::kF32, KvType::kF32};
constexpr NumericOptions kServing = {ActivationMode::kInt8, KvType::kF16};

using Json = nlohmann::json;

class ArchitecturesTest : public ::testing::TestWithParam<ArchitectureModel> {
 protected:
  void SetUp() override {
    const absl::StatusOr<GgufFile> file = GgufFile::Read(Write(TensorType::kF32, false));
    ASSERT_TRUE(file.ok()) << file.status();
    const absl::StatusOr<ModelSpec> spec = ModelSpec::Read(*file);
    ASSERT_TRUE(spec.ok()) << spec.status();
  }

  // The variant's model, with matrices of a type and the values of its own types.
  std::string Write(TensorType type, bool dequantized) {
    const std::string path = ::testing::TempDir() + "/" + GetParam().name + ".gguf";
    const TinyModelOptions options = {GetParam().seed, type, dequantized};
    EXPECT_TRUE(WriteArchitectureModel(GetParam(), options, path).ok());
    return path;
  }

  Json Golden() {
    std::ifstream file(std::string("tests/architectures/") + GetParam().name + ".json");
    Json golden = Json::parse(file, nullptr, /*allow_exceptions=*/false);
    EXPECT_FALSE(golden.is_discarded()) << "no golden, or not JSON";
    return golden;
  }
};

// The largest distance to those logits that the golden has.
float LargestDifference(const Json& golden_case, size_t step, const std::vector<float>& logits) {
  float largest = 0.0f;
  const auto compare = [&](size_t index, float expected) {
    largest = std::max(largest, std::abs(logits[index] - expected));
  };
  const std::vector<float> some = golden_case["logits"];
  for (size_t i = 0; i < some.size(); ++i) compare(i * step, some[i]);
  for (const Json& best : golden_case["top"]) compare(best[0], best[1]);
  return largest;
}

TEST_P(ArchitecturesTest, MeetsTheReference) {
  const std::string path = Write(TensorType::kF32, /*dequantized=*/true);
  const Json golden = Golden();
  const int layer_count = StageChain(path, {}).spec().layer_count;
  float largest = 0.0f;
  for (const int stage_count : {1, 2, layer_count}) {
    StageChain chain(path, {.stage_count = stage_count, .isa = BestIsa(), .numeric = kExact});
    for (const Json& golden_case : golden["cases"]) {
      const std::vector<int32_t> expected = golden_case["tokens"];
      const StageChain::Answer answer = chain.Generate(golden_case["prompt"], expected.size());
      EXPECT_EQ(answer.tokens, expected) << stage_count << " stages";
      const float difference =
          LargestDifference(golden_case, golden["logit_step"], answer.prompt_logits);
      EXPECT_LE(difference, kTolerance)
          << stage_count << " stages, prompt of " << golden_case["prompt"].size();
      largest = std::max(largest, difference);
    }
  }
  RecordProperty("largest_difference", std::to_string(largest));
  std::printf("%s: largest difference of a logit %.2g\n", GetParam().name, largest);
}

void ExpectSameBits(const std::string& path, const NumericOptions& numeric) {
  const std::vector<int32_t> tokens = RandomTokens(kPromptSize, kTinyVocabulary, 5);
  StageChain plain(path, {.numeric = numeric});
  const std::vector<float> expected = plain.Logits(tokens, kWhole);
  const auto expect_same = [&](ChainOptions options, int64_t chunk) {
    options.numeric = numeric;
    const std::vector<float> found = StageChain(path, options).Logits(tokens, chunk);
    ASSERT_EQ(expected.size(), found.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_TRUE(std::isfinite(expected[i]));
      ASSERT_EQ(std::bit_cast<uint32_t>(expected[i]), std::bit_cast<uint32_t>(found[i]))
          << "logit " << i << " with " << options.stage_count << " stages, " << options.thread_count
          << " threads, " << IsaName(options.isa) << ", chunks of " << chunk << ", cache "
          << KvTypeName(numeric.kv_type);
    }
  };
  for (const Isa isa : SupportedIsas()) expect_same({.stage_count = 2, .isa = isa}, 7);
  expect_same({.stage_count = plain.spec().layer_count, .isa = BestIsa()}, 1);
  expect_same({.thread_count = 3, .isa = BestIsa()}, 7);
  expect_same({.stage_count = 2, .thread_count = 3, .isa = BestIsa()}, kWhole);
}

TEST_P(ArchitecturesTest, SameBitsWithFloats) {
  ExpectSameBits(Write(TensorType::kF32, /*dequantized=*/false), kExact);
}

TEST_P(ArchitecturesTest, SameBitsAsServed) {
  ExpectSameBits(Write(TensorType::kQ8_0, /*dequantized=*/false), kServing);
}

INSTANTIATE_TEST_SUITE_P(All, ArchitecturesTest,
                         ::testing::ValuesIn(AllArchitectureModels().begin(),
                                             AllArchitectureModels().end()),
                         [](const ::testing::TestParamInfo<ArchitectureModel>& info) {
                           std::string name = info.param.name;
                           for (char& c : name)
                             c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

// What there happens to be memory for must not change a bit; what was asked for may.
TEST(LongropeTest, TheContextThatWasAskedForChoosesTheDivisors) {
  const ArchitectureModel* variant = FindArchitectureModel("phi3-long");
  ASSERT_NE(variant, nullptr);
  const std::string path = ::testing::TempDir() + "/longrope.gguf";
  ASSERT_TRUE(WriteArchitectureModel(*variant, {.seed = variant->seed}, path).ok());
  const std::vector<int32_t> tokens = RandomTokens(kPromptSize, kTinyVocabulary, 5);
  const auto logits = [&](int32_t asked_context) {
    NumericOptions numeric = kExact;
    numeric.asked_context = asked_context;
    return StageChain(path, {.stage_count = 2, .numeric = numeric}).Logits(tokens, kWhole);
  };
  const ModelSpec spec = StageChain(path, {}).spec();
  const auto original = static_cast<int32_t>(spec.ropes[0].original_context);
  ASSERT_LT(original, static_cast<int32_t>(spec.context_length));
  const std::vector<float> whole = logits(0);
  EXPECT_EQ(whole, logits(original + 1));
  EXPECT_NE(whole, logits(original));
}

TEST(ArchitecturesTableTest, EveryArchitectureHasAModel) {
  for (const Architecture& architecture : AllArchitectures()) {
    bool found = false;
    for (const ArchitectureModel& variant : AllArchitectureModels()) {
      found |= architecture.name == std::string(variant.architecture);
    }
    EXPECT_TRUE(found) << architecture.name;
  }
}

TEST(ArchitecturesTableTest, EveryModelHasAnArchitecture) {
  for (const ArchitectureModel& variant : AllArchitectureModels()) {
    EXPECT_NE(FindArchitecture(variant.architecture), nullptr) << variant.name;
  }
}

}  // namespace
}  // namespace baton
