// Many requests on one pipeline of real stages: each gets the tokens and the logits, bit for bit,
// that it gets alone, whatever runs beside it, is found in the prefix cache, is drafted, or has to
// start again.
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/scheduler/scheduler.h"
#include "engine/pipeline/local_pipeline.h"
#include "engine/pipeline/local_stage.h"
#include "engine/pipeline/plan.h"
#include "engine/testing/model_maker.h"
#include "gtest/gtest.h"
#include "tests/stage_chain.h"

namespace baton {
namespace {

constexpr int32_t kContext = 256;
constexpr int32_t kBlocksForAll = 200;
// One sequence fits, and not many more.
constexpr int32_t kBlocksForFew = 12;

// Stages that take turns, and say that they do not: several steps are in flight.
class ManyInFlight : public LocalPipeline {
 public:
  using LocalPipeline::LocalPipeline;
  int parallel_stages() const override { return stage_count(); }
};

std::unique_ptr<Pipeline> MakePipeline(const std::string& path, int stage_count,
                                       int32_t block_count) {
  const GgufFile file = GgufFile::Read(path).value();
  const ModelSpec spec = ModelSpec::Read(file).value();
  std::vector<std::unique_ptr<Stage>> stages;
  const PipelinePlan plan = PlanByBytes(CountModelBytes(spec), stage_count).value();
  for (const PlannedStage& planned : plan.stages) {
    LocalStageOptions options;
    options.role = planned.role;
    options.isa = BestIsa();
    options.kv_block_counts = {block_count};
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

Served Serve(Pipeline& pipeline, int32_t block_count, const std::vector<Request>& requests) {
  SchedulerOptions options;
  options.kv_block_counts = {block_count};
  options.context_length = kContext;
  options.vocabulary_size = ModelOptions().vocabulary_size;
  Scheduler scheduler(pipeline, options);
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

class ServingTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ModelOptions model;
    model.layer_count = 3;
    model.type = TensorType::kQ8_0;
    path_ = new std::string(MakeModel(model, ::testing::TempDir()).value());
    requests_ = new std::vector<Request>(SomeRequests());
    expected_ = new std::vector<std::map<int, Answer>>();
    for (Request request : *requests_) {
      request.speculation = Speculation::kOff;
      std::map<int, Answer>& answers = expected_->emplace_back();
      for (int choice = 0; choice < request.choice_count; ++choice) {
        Request alone = request;
        alone.choice_count = 1;
        alone.sampling.seed += choice;
        const auto pipeline = MakePipeline(*path_, 1, kBlocksForAll);
        answers[choice] = Serve(*pipeline, kBlocksForAll, {alone}).recorders[0]->answers[0];
      }
    }
  }

  static void ExpectSameAsAlone(const Served& served) {
    for (size_t i = 0; i < requests_->size(); ++i) {
      Recorder& recorder = *served.recorders[i];
      ASSERT_TRUE(recorder.status.ok()) << recorder.status;
      for (const auto& [choice, expected] : (*expected_)[i]) {
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
    std::vector<Request> requests = *requests_;
    for (Request& request : requests) request.speculation = mode;
    return requests;
  }

  static std::string* path_;
  static std::vector<Request>* requests_;
  static std::vector<std::map<int, Answer>>* expected_;
};

std::string* ServingTest::path_ = nullptr;
std::vector<Request>* ServingTest::requests_ = nullptr;
std::vector<std::map<int, Answer>>* ServingTest::expected_ = nullptr;

TEST_F(ServingTest, AllTogether) {
  for (const int stage_count : {1, 3}) {
    const auto pipeline = MakePipeline(*path_, stage_count, kBlocksForAll);
    const Served served = Serve(*pipeline, kBlocksForAll, With(Speculation::kOff));
    ExpectSameAsAlone(served);
    EXPECT_EQ(served.stats.preemptions, 0u);
  }
}

TEST_F(ServingTest, FromThePrefixCache) {
  std::vector<Request> twice = With(Speculation::kOff);
  const std::vector<Request> again = twice;
  const auto pipeline = MakePipeline(*path_, 2, kBlocksForAll);
  twice.insert(twice.begin(), again.begin(), again.end());
  Served served = Serve(*pipeline, kBlocksForAll, twice);
  served.recorders.erase(served.recorders.begin(), served.recorders.begin() + again.size());
  ExpectSameAsAlone(served);
}

TEST_F(ServingTest, StartedAgainForWantOfBlocks) {
  const auto pipeline = MakePipeline(*path_, 3, kBlocksForFew);
  const Served served = Serve(*pipeline, kBlocksForFew, With(Speculation::kOff));
  ExpectSameAsAlone(served);
  EXPECT_GT(served.stats.preemptions, 0u);
  EXPECT_GT(served.stats.cached_tokens, 0u);
}

TEST_F(ServingTest, WithDrafts) {
  for (const Speculation mode : {Speculation::kOn, Speculation::kAuto}) {
    const auto pipeline = MakePipeline(*path_, 2, kBlocksForFew);
    const Served served = Serve(*pipeline, kBlocksForFew, With(mode));
    ExpectSameAsAlone(served);
    EXPECT_GT(served.stats.accepted_tokens, 0u);
    EXPECT_GT(served.stats.drafted_tokens, served.stats.accepted_tokens);
  }
}

}  // namespace
}  // namespace baton
