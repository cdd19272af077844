// A chain of workers, each behind its own gRPC server, without a model: what crosses the wire
// arrives whole, in order, once; what breaks is named.
#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/cluster/remote_pipeline.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fake_cluster.h"

namespace baton {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

std::thread SubmitSteps(RemotePipeline& pipeline, int count) {
  return std::thread([&pipeline, count] {
    for (int i = 0; i < count; ++i) {
      EXPECT_TRUE(pipeline.Submit(SomeBatch(i), SomeOutputs()).ok());
    }
  });
}

// Of a chain of four layers, the first that it is given.
void ExpectStepsAtOnce(Pipeline& pipeline, int count) {
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(pipeline.Submit(SomeBatch(i), SomeOutputs()).ok());
  }
  for (int i = 0; i < count; ++i) {
    const auto result = pipeline.Next();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->step, static_cast<uint64_t>(i));
    ExpectEqual(result->outputs, Expected(SomeBatch(i), 4));
  }
}

class Chains : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Lengths, Chains, testing::Values(1, 2, 5));

TEST_P(Chains, GiveTheResultsOfOneStageInOrder) {
  Cluster cluster(GetParam());
  const auto pipeline = cluster.Connect();
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  EXPECT_EQ((*pipeline)->stage_count(), GetParam());
  constexpr int kSteps = 40;
  std::thread submitter = SubmitSteps(**pipeline, kSteps);
  for (int i = 0; i < kSteps; ++i) {
    const auto result = (*pipeline)->Next();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->step, static_cast<uint64_t>(i));
    EXPECT_EQ(result->stages.size(), static_cast<size_t>(GetParam()));
    ExpectEqual(result->outputs, Expected(SomeBatch(i), 2 * GetParam()));
  }
  submitter.join();
  const auto stats = (*pipeline)->Stats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->size(), static_cast<size_t>(GetParam()));
  EXPECT_EQ(stats->front().weight_bytes, 2000u);
}

// The fake head checks what comes from the other stage.
TEST(SharedHeadTest, ChangesNoResult) {
  for (const int length : {2, 3, 5}) {
    std::atomic<int> asked{0};
    Cluster cluster(length, {.on_shared_logits = [&](int64_t) { ++asked; }});
    cluster.shares_head = true;
    const auto pipeline = cluster.Connect();
    ASSERT_TRUE(pipeline.ok()) << pipeline.status();
    constexpr int kSteps = 40;
    std::thread submitter = SubmitSteps(**pipeline, kSteps);
    for (int i = 0; i < kSteps; ++i) {
      const auto result = (*pipeline)->Next();
      ASSERT_TRUE(result.ok()) << result.status();
      ExpectEqual(result->outputs, Expected(SomeBatch(i), 2 * length));
      for (const StageTiming& stage : result->stages) {
        EXPECT_GE(stage.compute_ms, 0);
        EXPECT_GE(stage.input_wait_ms, 0);
      }
    }
    submitter.join();
    EXPECT_EQ(asked, 2 * kSteps + 1);  // for each span, and for the probe
  }
}

// The stage before the head's takes long for a step, and gives logits meanwhile: sooner after its
// beginning than it takes.
TEST(SharedHeadTest, DoesNotWaitForTheOtherStagesStep) {
  using Clock = std::chrono::steady_clock;
  constexpr milliseconds kCompute{100};
  std::atomic<bool> is_armed{false}, was_asked_inside{false};
  std::atomic<Clock::time_point> began{Clock::time_point()};
  Cluster cluster(2, {.compute_time = kCompute,
                      .on_forward =
                          [&](const Batch& batch) {
                            if (batch.hidden.empty()) began = Clock::now();
                          },
                      .on_shared_logits =
                          [&](int64_t) {
                            const bool is_inside = Clock::now() - began.load() < kCompute;
                            if (is_armed && is_inside) was_asked_inside = true;
                          }});
  cluster.shares_head = true;
  const auto pipeline = cluster.Connect();
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  is_armed = true;
  ExpectStepsAtOnce(**pipeline, 3);
  EXPECT_TRUE(was_asked_inside);
}

// Logits of the first step are given only when the last stage has begun with the second.
TEST(SharedHeadTest, ComputesTheNextStepWhileLogitsAreOnTheirWay) {
  std::atomic<bool> is_armed{false}, next_began{false}, was_beside{false};
  Cluster cluster(2, {.on_forward =
                          [&](const Batch& batch) {
                            if (batch.hidden.empty()) return;
                            // The first stage is through with the second step meanwhile.
                            if (batch.step == 1) std::this_thread::sleep_for(milliseconds(50));
                            if (batch.step == 2) next_began = true;
                          },
                      .on_shared_logits =
                          [&](int64_t) {
                            if (!is_armed.exchange(false)) return;
                            was_beside = Eventually([&] { return next_began.load(); });
                          }});
  cluster.shares_head = true;
  const auto pipeline = cluster.Connect();
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  is_armed = true;
  ExpectStepsAtOnce(**pipeline, 2);
  EXPECT_TRUE(was_beside);
}

TEST(SharedHeadTest, NamesAWorkerThatVanishes) {
  for (int gone = 0; gone < 3; ++gone) {
    Cluster cluster(3, {.compute_time = milliseconds(3)});
    cluster.shares_head = true;
    const auto pipeline = cluster.Connect();
    ASSERT_TRUE(pipeline.ok()) << pipeline.status();
    const std::string name = (*pipeline)->WorkerName(gone);
    for (int i = 0; i < 30; ++i) {
      ASSERT_TRUE((*pipeline)->Submit(SomeBatch(i), SomeOutputs()).ok());
    }
    std::thread killer([&] {
      std::this_thread::sleep_for(milliseconds(20));
      cluster.servers[gone].reset();
    });
    absl::Status status;
    while (status.ok()) status = (*pipeline)->Next().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
    killer.join();
  }
}

TEST(ClusterTest, ReportsTheProgressOfEveryWorker) {
  Cluster cluster(2);
  std::mutex mutex;
  std::vector<uint64_t> done(2);
  RemotePipelineOptions options;
  options.kv_block_counts = {16};
  options.context_length = 100;
  const auto pipeline =
      RemotePipeline::Connect(cluster.Endpoints(), EvenPlan(2, 2), SomeIdentity(), SomeSpec(4),
                              options, [&](int stage, uint64_t bytes_done, uint64_t bytes_total) {
                                std::lock_guard<std::mutex> lock(mutex);
                                EXPECT_EQ(bytes_total, 1000u);
                                done[stage] = bytes_done;
                              });
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  EXPECT_EQ(done, (std::vector<uint64_t>{1000, 1000}));
}

TEST(ClusterTest, StagesWorkAtTheSameTime) {
  constexpr milliseconds kCompute{20};
  constexpr int kSteps = 10;
  Cluster cluster(3, {.compute_time = kCompute});
  const auto pipeline = cluster.Connect();
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kSteps; ++i) {
    ASSERT_TRUE((*pipeline)->Submit(SomeBatch(i), SomeOutputs()).ok());
  }
  for (int i = 0; i < kSteps; ++i) ASSERT_TRUE((*pipeline)->Next().ok());
  // One after the other they would take 30 computations; overlapped 12.
  EXPECT_LT(std::chrono::steady_clock::now() - start, kCompute * 22);
}

TEST(ClusterTest, ASlowStageHoldsBackTheOthers) {
  std::atomic<int> entered{0};
  Cluster cluster(2, {.compute_time = milliseconds(10), .on_forward = [&](const Batch& batch) {
                        if (batch.hidden.empty()) ++entered;
                      }});
  RemotePipelineOptions options;
  options.window = 2;
  const auto pipeline = cluster.Connect(options);
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  constexpr int kSteps = 30;
  std::atomic<int> submitted{0};
  std::thread submitter([&] {
    for (int i = 0; i < kSteps; ++i) {
      EXPECT_TRUE((*pipeline)->Submit(SomeBatch(i), SomeOutputs()).ok());
      ++submitted;
    }
  });
  for (int i = 0; i < kSteps; ++i) {
    ASSERT_TRUE((*pipeline)->Next().ok());
    // Two stages hold two steps each; results that wait here are in nobody's way, but there can be
    // only as many as were computed.
    EXPECT_LE(submitted - entered, 3);
  }
  submitter.join();
  EXPECT_EQ(entered, kSteps + 1);  // and the probe
}

TEST(ClusterTest, AFailedStepEndsAlone) {
  Cluster cluster(3, {.refused_token = 66, .poison_layer = 2});
  const auto pipeline = cluster.Connect();
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  for (int i = 0; i < 3; ++i) {
    const std::vector<int32_t> tokens = {1, i == 1 ? 66 : 2};
    ASSERT_TRUE((*pipeline)->Submit(SomeBatch(i, tokens), SomeOutputs()).ok());
  }
  EXPECT_TRUE((*pipeline)->Next().ok());
  const auto failed = (*pipeline)->Next();
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(failed.status().message()),
      AllOf(HasSubstr("stage 1 on worker " + cluster.servers[1]->address()), HasSubstr("refused")));
  const auto next = (*pipeline)->Next();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->step, 2u);
}

TEST(ClusterTest, AFailedSpanEndsAlone) {
  Cluster cluster(3, {.poison_token = 66, .poison_layer = 2});
  const auto pipeline = cluster.Connect();
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  const Batch batch = SomeBatch(0, {1, 66});
  ASSERT_TRUE((*pipeline)->Submit(batch, SomeOutputs()).ok());
  const auto result = (*pipeline)->Next();
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->outputs.size(), 2u);
  EXPECT_EQ(result->outputs[0].status, absl::InternalError("not finite"));
  EXPECT_TRUE(result->outputs[1].status.ok());
  EXPECT_EQ(result->outputs[1].scores, Expected(batch, 6)[1].scores);
}

TEST(ClusterTest, ABatchThatBreaksABoundIsRefusedAtTheDoor) {
  Cluster cluster(2);
  const auto pipeline = cluster.Connect();
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  Batch batch = SomeBatch(0);
  batch.spans[0].block_table = {16};
  const absl::Status status = (*pipeline)->Submit(batch, SomeOutputs());
  EXPECT_THAT(std::string(status.message()), HasSubstr("KV block id is 16, expected 0 to 15"));
  EXPECT_FALSE((*pipeline)->Submit(SomeBatch(1), SomeOutputs()).ok());  // a gap
  ASSERT_TRUE((*pipeline)->Submit(SomeBatch(0), SomeOutputs()).ok());
  EXPECT_TRUE((*pipeline)->Next().ok());
}

TEST(ClusterTest, NamesAWorkerThatCannotBeReached) {
  std::vector<WorkerEndpoint> workers = *ParseWorkerList("127.0.0.1:1");
  const auto start = std::chrono::steady_clock::now();
  const auto pipeline =
      RemotePipeline::Connect(workers, EvenPlan(1, 2), SomeIdentity(), SomeSpec(2), {}, nullptr);
  EXPECT_THAT(std::string(pipeline.status().message()),
              AllOf(HasSubstr("cannot reach worker 127.0.0.1:1"), HasSubstr("refused")));
  EXPECT_LT(std::chrono::steady_clock::now() - start, kPromptly);
}

TEST(ClusterTest, RefusesAnotherBuild) {
  Cluster cluster(1, {}, {.protocol = 7});
  const auto pipeline = cluster.Connect();
  EXPECT_THAT(std::string(pipeline.status().message()),
              AllOf(HasSubstr(cluster.servers[0]->address()),
                    HasSubstr(absl::StrCat("protocol version 7, expected ", Versions().protocol))));
  Cluster numeric(1, {}, {.numeric = 9});
  EXPECT_THAT(
      std::string(numeric.Connect().status().message()),
      HasSubstr(absl::StrCat("numeric contract revision 9, expected ", Versions().numeric)));
  EXPECT_EQ(cluster.loads + numeric.loads, 0);
}

TEST(ClusterTest, NamesTheWorkerThatHasNoSuchModel) {
  Cluster cluster(2);
  ModelIdentity other = SomeIdentity();
  other[0] = 1;
  const auto pipeline = cluster.Connect({}, other);
  EXPECT_THAT(std::string(pipeline.status().message()),
              AllOf(HasSubstr("worker 127.0.0.1:"), HasSubstr("no file of model 01abababab")));
}

TEST(ClusterTest, NamesAWorkerThatIsNamedTwice) {
  EXPECT_THAT(std::string(ParseWorkerList("a:1,b:2,a:1").status().message()),
              HasSubstr("worker a:1 is named twice"));
}

TEST(ClusterTest, NamesAWorkerThatVanishes) {
  for (int gone = 0; gone < 3; ++gone) {
    Cluster cluster(3);
    const auto pipeline = cluster.Connect();
    ASSERT_TRUE(pipeline.ok()) << pipeline.status();
    const std::string name = (*pipeline)->WorkerName(gone);
    std::thread killer([&] { cluster.servers[gone].reset(); });
    const auto start = std::chrono::steady_clock::now();
    const auto result = (*pipeline)->Next();
    EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(name));
    EXPECT_EQ((*pipeline)->Submit(SomeBatch(0), SomeOutputs()).code(),
              absl::StatusCode::kUnavailable);
    EXPECT_LT(std::chrono::steady_clock::now() - start, kPromptly);
    killer.join();
  }
}

TEST(ClusterTest, WorkersDropTheirStagesWhenTheCoordinatorIsGone) {
  Cluster cluster(3);
  for (int i = 0; i < 2; ++i) {
    auto pipeline = cluster.Connect();
    ASSERT_TRUE(pipeline.ok()) << pipeline.status();
    EXPECT_EQ(cluster.alive, 3);
    ASSERT_TRUE((*pipeline)->Submit(SomeBatch(0), SomeOutputs()).ok());
    pipeline->reset();
    EXPECT_TRUE(Eventually([&] { return cluster.alive == 0; })) << cluster.alive;
  }
  EXPECT_EQ(cluster.loads, 6);
}

TEST(ClusterTest, ALaterCoordinatorTakesOver) {
  Cluster cluster(2);
  const auto first = cluster.Connect();
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = cluster.Connect();
  ASSERT_TRUE(second.ok()) << second.status();
  // Whatever the worker calls it, the first one's pipeline is lost, and says so to whoever asks.
  const absl::Status lost = (*first)->Next().status();
  EXPECT_EQ(lost.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(lost.message()), HasSubstr("taken over by a coordinator of epoch"));
  EXPECT_EQ((*first)->Stats().status(), lost);
  ASSERT_TRUE((*second)->Submit(SomeBatch(0), SomeOutputs()).ok());
  EXPECT_TRUE((*second)->Next().ok());
  EXPECT_TRUE(Eventually([&] { return cluster.alive == 2; })) << cluster.alive;
}

TEST(ClusterTest, TheNextStageIsLoadedWhenTheLastOneHasGone) {
  Cluster cluster(1, {.compute_time = milliseconds(300)});
  auto pipeline = cluster.Connect();
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  ASSERT_TRUE((*pipeline)->Submit(SomeBatch(0), SomeOutputs()).ok());
  pipeline->reset();  // in the middle of the step
  const auto next = cluster.Connect();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(cluster.alive_when_loading, 0);
}

TEST(ClusterTest, AWorkerThatLoadsMoreThanThereIsHasLoadedAll) {
  Cluster cluster(1);
  cluster.progress_bytes = 2000;
  std::atomic<uint64_t> most{0};
  const auto progress = [&most](int, uint64_t done, uint64_t total) {
    EXPECT_EQ(total, 1000u);
    most = std::max<uint64_t>(most, done);
  };
  RemotePipelineOptions options;
  options.kv_block_counts = {16};
  options.context_length = 100;
  const auto pipeline = RemotePipeline::Connect(cluster.Endpoints(), EvenPlan(1, 1), SomeIdentity(),
                                                SomeSpec(1), options, progress);
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  EXPECT_EQ(most, 1000u);
}

TEST(ClusterTest, CancelEndsAWaitingNext) {
  Cluster cluster(1);
  const auto pipeline = cluster.Connect();
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  std::thread canceller([&] {
    std::this_thread::sleep_for(milliseconds(20));
    (*pipeline)->Cancel();
  });
  EXPECT_EQ((*pipeline)->Next().status().code(), absl::StatusCode::kCancelled);
  canceller.join();
}

TEST(ClusterTest, AStageThatHangsDoesNotKeepTheCoordinatorFromLeaving) {
  Cluster cluster(2, {.compute_time = milliseconds(600)});
  auto pipeline = cluster.Connect();
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE((*pipeline)->Submit(SomeBatch(i), SomeOutputs()).ok());
  }
  const auto start = std::chrono::steady_clock::now();
  pipeline->reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, kPromptly);
}

}  // namespace
}  // namespace baton
