// Many requests on one pipeline of real stages: each gets the tokens and the logits, bit for bit,
// that it gets alone, whatever runs beside it, is found in the prefix cache, is drafted, or has to
// start again.
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/scheduler/scheduler.h"
#include "engine/model/cache_groups.h"
#include "engine/pipeline/local_pipeline.h"
#include "engine/pipeline/local_stage.h"
#include "engine/pipeline/plan.h"
#include "engine/testing/architecture_models.h"
#include "engine/testing/model_maker.h"
#include "gtest/gtest.h"
#include "tests/stage_chain.h"

namespace baton {
namespace {

constexpr int32_t kContext = 256;
constexpr int32_t kBlocksForAll = 200;
// One sequence fits, and not many more.
constexpr int32_t kBlocksForFew = 12;
// Of those, a group of layers with a window has so many times less.
constexpr int32_t kWindowDivisor = 2;

// A model, and which of its layers share KV blocks.
struct Model {
  std::string path;
  std::vector<CacheGroup> groups;

  std::vector<int32_t> BlockCounts(int32_t block_count) const {
    std::vector<int32_t> counts;
    for (const CacheGroup& group : groups) {
      counts.push_back(group.window == 0 ? block_count : block_count / kWindowDivisor);
    }
    return counts;
  }
};

// Stages that take turns, and say that they do not: several steps are in flight.
class ManyInFlight : public LocalPipeline {
 public:
  using LocalPipeline::LocalPipeline;
  int parallel_stages() const override { return stage_count(); }
};

std::unique_ptr<Pipeline> MakePipeline(const Model& model, int stage_count, int32_t block_count) {
  const GgufFile file = GgufFile::Read(model.path).value();
  const ModelSpec spec = ModelSpec::Read(file).value();
  std::vector<std::unique_ptr<Stage>> stages;
  const PipelinePlan plan = PlanByBytes(CountModelBytes(spec), stage_count).value();
  for (const PlannedStage& planned : plan.stages) {
    LocalStageOptions options;
    options.role = planned.role;
    options.isa = BestIsa();
    options.kv_block_counts = model.BlockCounts(block_count);
    options.poison_kv = true;
    stages.push_back(LocalStage::Load(file, options).value());
  }
  return std::make_unique<ManyInFlight>(std::move(stages));
}

struct Answer {
  std::vector<int32_t> ids;
  std::vector<float> logits;  // of all its tokens
};

class Recorder : public RequestSink {
 public:
  bool OnToken(int choice, const SampleResult& sample, absl::Span<const float> logits) override {
    Answer& answer = answers[choice];
    answer.ids.push_back(sample.token);
    answer.logits.insert(answer.logits.end(), logits.begin(), logits.end());
    return true;
  }
  void OnDone(const absl::Status& end, const Usage& used) override {
    status = end;
    usage = used;
  }
  std::map<int, Answer> answers;
  absl::Status status;
  Usage usage;
};

using Recorders = std::vector<std::shared_ptr<Recorder>>;

struct Served {
  Recorders recorders;
  SchedulerStats stats;
};

Served Serve(const Model& model, int stage_count, int32_t block_count,
             const std::vector<Request>& requests) {
  const std::unique_ptr<Pipeline> pipeline = MakePipeline(model, stage_count, block_count);
  SchedulerOptions options;
  options.cache_groups = model.groups;
  options.kv_block_counts = model.BlockCounts(block_count);
  options.context_length = kContext;
  options.vocabulary_size = ModelOptions().vocabulary_size;
  Scheduler scheduler(*pipeline, options);
  Served served;
  for (const Request& request : requests) {
    served.recorders.push_back(std::make_shared<Recorder>());
    EXPECT_TRUE(scheduler.Submit(request, served.recorders.back()).ok());
  }
  scheduler.Drain();
  served.stats = scheduler.Stats();
  return served;
}

// Prompts of all lengths, some with a common beginning, some that repeat themselves; greedy and
// drawn, with penalties and without.
std::vector<Request> SomeRequests() {
  const int32_t vocabulary = ModelOptions().vocabulary_size;
  const std::vector<int32_t> common = RandomTokens(80, vocabulary, 99);
  std::vector<Request> requests;
  for (int i = 0; i < 12; ++i) {
    Request request;
    if (i % 3 == 0) request.prompt = common;
    const std::vector<int32_t> own = RandomTokens(1 + 17 * i % 120, vocabulary, i);
    request.prompt.insert(request.prompt.end(), own.begin(), own.end());
    if (i % 4 == 1) request.prompt.insert(request.prompt.end(), own.begin(), own.end());
    request.max_tokens = 70 + 7 * i % 30;
    request.sampling.temperature = i % 2 == 0 ? 0.0f : 1.3f;
    request.sampling.seed = 10 * i;
    if (i % 5 == 2) request.sampling.repeat_penalty = 1.2f;
    // Answers of very few tokens, which repeat themselves where they are not drawn.
    if (i % 4 >= 2) request.logit_bias = {{5, 40.0f}, {6, 40.0f}};
    if (i % 6 == 5) request.choice_count = 2;
    request.return_logits = true;
    requests.push_back(std::move(request));
  }
  return requests;
}

// Plain attention; and layers with a window, of 24 positions, beside others without.
constexpr const char* kModels[] = {"llama", "gemma3", "gpt-oss"};

Model MakeServedModel(const std::string& name) {
  Model model;
  if (name == "llama") {
    ModelOptions options;
    options.layer_count = 3;
    options.type = TensorType::kQ8_0;
    model.path = MakeModel(options, ::testing::TempDir()).value();
  } else {
    model.path = ::testing::TempDir() + "/served-" + name + ".gguf";
    const ArchitectureModel& variant = *FindArchitectureModel(name);
    const TinyModelOptions options = {variant.seed, TensorType::kQ8_0, /*dequantized=*/false};
    EXPECT_TRUE(WriteArchitectureModel(variant, options, model.path).ok());
  }
  model.groups = CacheGroupsOf(ModelSpec::Read(GgufFile::Read(model.path).value()).value());
  return model;
}

// Requests, and what each of their choices gets when it is served alone.
struct Expectation {
  Model model;
  std::vector<Request> requests;
  std::vector<std::map<int, Answer>> answers;
};

Expectation Expect(const std::string& name) {
  Expectation expectation = {MakeServedModel(name), SomeRequests(), {}};
  for (const Request& request : expectation.requests) {
    std::map<int, Answer>& answers = expectation.answers.emplace_back();
    for (int choice = 0; choice < request.choice_count; ++choice) {
      Request alone = request;
      alone.speculation = Speculation::kOff;
      alone.choice_count = 1;
      alone.sampling.seed += choice;
      answers[choice] =
          Serve(expectation.model, 1, kBlocksForAll, {alone}).recorders[0]->answers[0];
    }
  }
  return expectation;
}

class ServingTest : public testing::TestWithParam<const char*> {
 protected:
  // Once for all tests of a model.
  static const Expectation& Expected() {
    static auto* all = new std::map<std::string, Expectation>();
    const auto found = all->find(GetParam());
    if (found != all->end()) return found->second;
    return all->emplace(GetParam(), Expect(GetParam())).first->second;
  }

  static Served ServeAll(int stage_count, int32_t block_count,
                         const std::vector<Request>& requests) {
    return Serve(Expected().model, stage_count, block_count, requests);
  }

  static void ExpectSameAsAlone(const Served& served) {
    for (size_t i = 0; i < Expected().requests.size(); ++i) {
      Recorder& recorder = *served.recorders[i];
      ASSERT_TRUE(recorder.status.ok()) << recorder.status;
      for (const auto& [choice, expected] : Expected().answers[i]) {
        const Answer& answer = recorder.answers[choice];
        EXPECT_EQ(answer.ids, expected.ids) << "request " << i << ", choice " << choice;
        ASSERT_EQ(answer.logits.size(), expected.logits.size());
        EXPECT_EQ(std::memcmp(answer.logits.data(), expected.logits.data(),
                              expected.logits.size() * sizeof(float)),
                  0)
            << "request " << i << ", choice " << choice;
      }
    }
    const SchedulerStats& stats = served.stats;
    EXPECT_EQ(stats.kv_blocks_free + stats.kv_blocks_cached, stats.kv_blocks);
  }

  static std::vector<Request> With(Speculation mode) {
    std::vector<Request> requests = Expected().requests;
    for (Request& request : requests) request.speculation = mode;
    return requests;
  }
};

INSTANTIATE_TEST_SUITE_P(Models, ServingTest, testing::ValuesIn(kModels), [](const auto& info) {
  return std::string(info.param) == "gpt-oss" ? "gpt_oss" : std::string(info.param);
});

TEST_P(ServingTest, AllTogether) {
  for (const int stage_count : {1, 3}) {
    const Served served = ServeAll(stage_count, kBlocksForAll, With(Speculation::kOff));
    ExpectSameAsAlone(served);
    EXPECT_EQ(served.stats.preemptions, 0u);
  }
}

TEST_P(ServingTest, FromThePrefixCache) {
  std::vector<Request> twice = With(Speculation::kOff);
  const std::vector<Request> again = twice;
  twice.insert(twice.begin(), again.begin(), again.end());
  Served served = ServeAll(2, kBlocksForAll, twice);
  served.recorders.erase(served.recorders.begin(), served.recorders.begin() + again.size());
  ExpectSameAsAlone(served);
}

TEST_P(ServingTest, StartedAgainForWantOfBlocks) {
  const Served served = ServeAll(3, kBlocksForFew, With(Speculation::kOff));
  ExpectSameAsAlone(served);
  EXPECT_GT(served.stats.preemptions, 0u);
  // The few blocks of a window are needed again before anybody finds them.
  if (Expected().model.groups.size() == 1) {
    EXPECT_GT(served.stats.cached_tokens, 0u);
  }
}

TEST_P(ServingTest, WithDrafts) {
  for (const Speculation mode : {Speculation::kOn, Speculation::kAuto}) {
    const Served served = ServeAll(2, kBlocksForFew, With(mode));
    ExpectSameAsAlone(served);
    EXPECT_GT(served.stats.accepted_tokens, 0u);
    EXPECT_GT(served.stats.drafted_tokens, served.stats.accepted_tokens);
  }
}

}  // namespace
}  // namespace baton
