// A chain of workers, each behind its own gRPC server, without a model: what crosses the wire
// arrives whole, in order, once; what should not cross it is refused; what breaks is named.
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/cluster/remote_pipeline.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/call_server.h"
#include "proto/convert.h"
#include "proto/frame.h"
#include "proto/frame_stream.h"
#include "proto/handshake.h"
#include "proto/methods.h"
#include "proto/transport.h"
#include "proto/wire.grpc.pb.h"
#include "worker/fake_stage.h"
#include "worker/worker_server.h"

namespace baton {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

constexpr int kWidth = 8;
constexpr int kVocabulary = 100;
constexpr auto kPromptly = std::chrono::seconds(2);

ModelIdentity SomeIdentity() {
  ModelIdentity identity;
  identity.fill(0xab);
  return identity;
}

ModelSpec SomeSpec(int layer_count) {
  ModelSpec spec;
  spec.layer_count = layer_count;
  spec.width = kWidth;
  spec.vocabulary_size = kVocabulary;
  return spec;
}

PipelinePlan EvenPlan(int stages, int layers_each) {
  PipelinePlan plan;
  for (int i = 0; i < stages; ++i) {
    StageRole role;
    role.layers = {i * layers_each, (i + 1) * layers_each};
    role.embedding = i == 0;
    role.head = i == stages - 1;
    plan.stages.push_back({.role = role});
  }
  return plan;
}

// Has the last two stages share the head.
constexpr int kShared = 30;
void Share(PipelinePlan& plan) {
  plan.stages.back().role.shared_logits = kShared;
  plan.stages.rbegin()[1].role.shared_logits = kShared;
}

Batch SomeBatch(uint64_t step, std::vector<int32_t> tokens = {3, 1, 4}) {
  Batch batch;
  batch.step = step;
  const int32_t position = static_cast<int32_t>(step % 50);
  batch.spans.push_back(
      {.tokens = std::move(tokens), .first_position = position, .block_table = {0, 1, 2, 3}});
  batch.spans.push_back({.tokens = {7}, .first_position = position + 1, .block_table = {5, 4}});
  return batch;
}

std::vector<OutputSpec> SomeOutputs() {
  std::vector<OutputSpec> outputs(2);
  outputs[0].kind = OutputSpec::Kind::kSample;
  outputs[0].return_logits = true;
  outputs[1].kind = OutputSpec::Kind::kScore;
  outputs[1].targets = {9};
  return outputs;
}

void ExpectEqual(const std::vector<SpanOutput>& a, const std::vector<SpanOutput>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].samples.size(), b[i].samples.size());
    for (size_t j = 0; j < a[i].samples.size(); ++j) {
      EXPECT_EQ(a[i].samples[j].token, b[i].samples[j].token);
      EXPECT_EQ(a[i].samples[j].logprob, b[i].samples[j].logprob);
    }
    EXPECT_EQ(a[i].logits, b[i].logits);
    EXPECT_EQ(a[i].scores, b[i].scores);
  }
}

// What a chain must give, from one stage with all layers.
std::vector<SpanOutput> Expected(const Batch& batch, int layer_count) {
  FakeStage stage({.role = EvenPlan(1, layer_count).stages[0].role,
                   .width = kWidth,
                   .vocabulary_size = kVocabulary});
  return stage.Forward(batch, SomeOutputs())->outputs;
}

// Workers with fake stages in this process, each on a port of its own.
class Cluster {
 public:
  explicit Cluster(int count, FakeStageOptions options = {}, Versions versions = {}) {
    CalmTransportLibraries();
    options.width = kWidth;
    options.vocabulary_size = kVocabulary;
    for (int i = 0; i < count; ++i) {
      WorkerServerOptions server;
      server.listen = "127.0.0.1:0";
      server.versions = versions;
      server.loader = [this, options](const StageConfig& config, const ProgressCallback& progress)
          -> absl::StatusOr<std::unique_ptr<Stage>> {
        if (config.model_identity != SomeIdentity()) {
          return absl::NotFoundError("no file of model " + ShortId(config.model_identity));
        }
        while (progress(500, 1000) && endless_loads) std::this_thread::sleep_for(milliseconds(1));
        if (!progress(1000, 1000)) {
          ++cancelled_loads;
          return absl::CancelledError("loading was cancelled");
        }
        ++loads;
        FakeStageOptions stage = options;
        stage.role = config.role;
        return std::make_unique<CountedStage>(stage, &alive);
      };
      servers.push_back(*WorkerServer::Start(std::move(server)));
    }
  }

  std::vector<WorkerEndpoint> Endpoints() const {
    std::vector<WorkerEndpoint> endpoints;
    for (const auto& server : servers) {
      endpoints.push_back({.address = server->address(), .name = "worker " + server->address()});
    }
    return endpoints;
  }

  absl::StatusOr<std::unique_ptr<RemotePipeline>> Connect(
      RemotePipelineOptions options = {}, const ModelIdentity& identity = SomeIdentity()) const {
    const int count = static_cast<int>(servers.size());
    options.kv_block_counts = {16};
    options.context_length = 100;
    PipelinePlan plan = EvenPlan(count, 2);
    if (shares_head) Share(plan);
    return RemotePipeline::Connect(Endpoints(), plan, identity, SomeSpec(2 * count), options,
                                   nullptr);
  }

  bool shares_head = false;

  std::atomic<int> loads{0};
  std::atomic<int> alive{0};
  std::atomic<bool> endless_loads{false};
  std::atomic<int> cancelled_loads{0};
  std::vector<std::unique_ptr<WorkerServer>> servers;

 private:
  class CountedStage : public FakeStage {
   public:
    CountedStage(const FakeStageOptions& options, std::atomic<int>* alive)
        : FakeStage(options), alive_(alive) {
      ++*alive_;
    }
    ~CountedStage() override { --*alive_; }

   private:
    std::atomic<int>* const alive_;
  };
};

bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPromptly;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

class Chains : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Lengths, Chains, testing::Values(1, 2, 5));

TEST_P(Chains, GiveTheResultsOfOneStageInOrder) {
  Cluster cluster(GetParam());
  const auto pipeline = cluster.Connect();
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  EXPECT_EQ((*pipeline)->stage_count(), GetParam());
  constexpr int kSteps = 40;
  std::thread submitter([&] {
    for (int i = 0; i < kSteps; ++i) {
      EXPECT_TRUE((*pipeline)->Submit(SomeBatch(i), SomeOutputs()).ok());
    }
  });
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
    std::thread submitter([&] {
      for (int i = 0; i < kSteps; ++i) {
        EXPECT_TRUE((*pipeline)->Submit(SomeBatch(i), SomeOutputs()).ok());
      }
    });
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

// The stage before the head's takes long for a step, and gives logits meanwhile.
TEST(SharedHeadTest, DoesNotWaitForTheOtherStagesStep) {
  std::atomic<bool> is_slow{false}, is_inside{false}, was_asked_inside{false};
  Cluster cluster(2, {.compute_time = milliseconds(100),
                      .on_forward =
                          [&](const Batch& batch) {
                            if (batch.hidden.empty()) is_inside = is_slow.load();
                          },
                      .on_shared_logits =
                          [&](int64_t) {
                            if (is_inside) was_asked_inside = true;
                          }});
  cluster.shares_head = true;
  const auto pipeline = cluster.Connect();
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  ASSERT_TRUE((*pipeline)->Submit(SomeBatch(0), SomeOutputs()).ok());
  // Enters the first stage when the last one has begun with the other.
  is_slow = true;
  ASSERT_TRUE((*pipeline)->Submit(SomeBatch(1), SomeOutputs()).ok());
  ASSERT_TRUE((*pipeline)->Submit(SomeBatch(2), SomeOutputs()).ok());
  for (int i = 0; i < 3; ++i) {
    const auto result = (*pipeline)->Next();
    ASSERT_TRUE(result.ok()) << result.status();
    ExpectEqual(result->outputs, Expected(SomeBatch(i), 4));
  }
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
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE((*pipeline)->Submit(SomeBatch(i), SomeOutputs()).ok());
  }
  for (int i = 0; i < 2; ++i) {
    const auto result = (*pipeline)->Next();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->step, static_cast<uint64_t>(i));
    ExpectEqual(result->outputs, Expected(SomeBatch(i), 4));
  }
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
  EXPECT_THAT(std::string((*first)->Next().status().message()),
              HasSubstr("taken over by a coordinator of epoch"));
  ASSERT_TRUE((*second)->Submit(SomeBatch(0), SomeOutputs()).ok());
  EXPECT_TRUE((*second)->Next().ok());
  EXPECT_TRUE(Eventually([&] { return cluster.alive == 2; })) << cluster.alive;
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
  Cluster cluster(2, {.compute_time = milliseconds(200)});
  auto pipeline = cluster.Connect();
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE((*pipeline)->Submit(SomeBatch(i), SomeOutputs()).ok());
  }
  const auto start = std::chrono::steady_clock::now();
  pipeline->reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, kPromptly);
}

// As many calls as a worker takes, none of which says what it wants.
TEST(WorkerServerTest, SilentCallsLockNobodyOut) {
  WorkerServerOptions options;
  options.listen = "127.0.0.1:0";
  options.first_message_patience = milliseconds(500);
  const std::unique_ptr<WorkerServer> server = *WorkerServer::Start(std::move(options));
  EventLoop loop;
  std::vector<std::shared_ptr<ClientFrameStream>> silent;
  for (int connection = 0; connection < 2; ++connection) {
    const std::shared_ptr<grpc::Channel> channel = Dial(server->address());
    for (int i = 0; i < kMaxServerStreams; ++i) {
      silent.push_back(ClientFrameStream::Open(channel, kChainMethod, loop));
    }
  }
  for (const auto& stream : silent) {
    grpc::ByteBuffer frame;
    EXPECT_FALSE(stream->Read(&frame));
    EXPECT_FALSE(stream->Finish().ok());
  }
  grpc::ClientContext context;
  wire::HelloReply reply;
  const grpc::Status status =
      wire::Worker::NewStub(Dial(server->address()))->Hello(&context, wire::HelloRequest(), &reply);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

// One worker, spoken to by hand.
class RawWorker : public testing::Test {
 protected:
  explicit RawWorker(FakeStageOptions options = {}) : cluster_(1, std::move(options)) {}

  void SetUp() override {
    config_.epoch = 5;
    config_.model_identity = SomeIdentity();
    config_.role = EvenPlan(1, 2).stages[0].role;
    config_.layer_count = 2;
    config_.width = kWidth;
    config_.vocabulary_size = kVocabulary;
    config_.kv_block_counts = {16};
    config_.context_length = 100;
    config_.window = 2;
    channel_ = Dial(cluster_.servers[0]->address());
    stub_ = wire::Worker::NewStub(channel_);
  }

  ~RawWorker() override {
    lease_context_.TryCancel();
    for (const auto& stream : {chain_, results_}) {
      if (stream != nullptr) stream->Cancel();
    }
  }

  void StartLease() {
    lease_ = stub_->Configure(&lease_context_);
    lease_->Write(ToWire(config_));
  }

  void Lease() {
    StartLease();
    wire::ConfigureEvent event;
    while (lease_->Read(&event)) {
      if (event.has_loaded()) return;
    }
    FAIL() << FromGrpc(lease_->Finish());
  }

  // What the worker says to its coordinator when it gives up the stage.
  std::string LeaseFailure() {
    wire::ConfigureEvent event;
    while (lease_->Read(&event)) {
      if (event.has_failed()) return event.failed().failure().message();
    }
    return "the lease ended without a word";
  }

  std::shared_ptr<ClientFrameStream> OpenEdge(const char* method) {
    return ClientFrameStream::Open(channel_, method, loop_);
  }

  void OpenEdges() {
    results_ = OpenEdge(kResultsMethod);
    chain_ = OpenEdge(kChainMethod);
    grpc::ByteBuffer frame;
    ASSERT_TRUE(results_->Write(EncodeFrame(MakeEdgeHello(config_, 0))));
    ASSERT_TRUE(results_->Read(&frame));
    ASSERT_TRUE(chain_->Write(EncodeFrame(MakeEdgeHello(config_, 0))));
    ASSERT_TRUE(chain_->Read(&frame));
  }

  // What the worker says to one who opens a chain with this hello.
  std::string ChainRefusal(const StageConfig& config, int to_stage = 0) {
    const auto chain = OpenEdge(kChainMethod);
    chain->Write(EncodeFrame(MakeEdgeHello(config, to_stage)));
    grpc::ByteBuffer frame;
    if (chain->Read(&frame)) {
      chain->Cancel();
      return "accepted";
    }
    return chain->Finish().error_message();
  }

  void SendStep(uint64_t epoch, uint64_t step) {
    ChainStep message;
    message.batch = SomeBatch(step);
    message.batch.epoch = epoch;
    chain_->Write(EncodeStep(std::move(message)));
  }
  void SendOutputs(uint64_t step) {
    results_->Write(EncodeOutputs({.epoch = 5, .step = step, .outputs = SomeOutputs()}));
  }
  absl::StatusOr<StepReply> ReadReply(uint64_t step) {
    grpc::ByteBuffer frame;
    if (!results_->Read(&frame)) return FromGrpc(results_->Finish());
    return DecodeReply(frame, config_, {.epoch = 5, .step = step, .outputs = SomeOutputs()});
  }

  Cluster cluster_;
  StageConfig config_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<wire::Worker::Stub> stub_;
  EventLoop loop_;
  grpc::ClientContext lease_context_;
  std::unique_ptr<grpc::ClientReaderWriter<wire::ConfigureRequest, wire::ConfigureEvent>> lease_;
  std::shared_ptr<ClientFrameStream> chain_, results_;
};

TEST_F(RawWorker, IgnoresAStepThatComesTwice) {
  Lease();
  OpenEdges();
  for (const uint64_t step : {0, 0, 1, 0, 1, 2}) {
    SendOutputs(step);
    SendStep(5, step);
    grpc::ByteBuffer credit;
    ASSERT_TRUE(chain_->Read(&credit));  // a duplicate's credit comes back too
  }
  for (uint64_t step = 0; step < 3; ++step) {
    const auto reply = ReadReply(step);
    ASSERT_TRUE(reply.ok()) << reply.status();
    ExpectEqual(reply->result.outputs, Expected(SomeBatch(step), 2));
  }
}

TEST_F(RawWorker, RefusesAGap) {
  Lease();
  OpenEdges();
  SendStep(5, 0);
  SendStep(5, 2);
  EXPECT_THAT(LeaseFailure(), HasSubstr("was sent step 2, expected step 1"));
}

TEST_F(RawWorker, RefusesAStaleEpoch) {
  Lease();
  OpenEdges();
  SendStep(4, 0);
  EXPECT_THAT(LeaseFailure(), HasSubstr("step of epoch 4, it is of epoch 5"));
}

TEST_F(RawWorker, RefusesMoreStepsThanItsWindow) {
  Lease();
  OpenEdges();
  for (uint64_t step = 0; step < 3; ++step) SendStep(5, step);  // outputs never come
  EXPECT_THAT(LeaseFailure(), HasSubstr("was sent more than its 2 steps at once"));
}

TEST_F(RawWorker, SurvivesGarbageOnTheChain) {
  for (const std::string& garbage :
       {std::string("\xff\xff\xff\xff"), std::string("\x05"), std::string(5000, '\x77'),
        std::string("\x02\0\0\0\xff\xff", 6)}) {
    config_.epoch++;
    grpc::ClientContext lease_context;
    auto lease = stub_->Configure(&lease_context);
    lease->Write(ToWire(config_));
    wire::ConfigureEvent event;
    while (lease->Read(&event) && !event.has_loaded()) {
    }
    const auto chain = OpenEdge(kChainMethod);
    chain->Write(EncodeFrame(MakeEdgeHello(config_, 0)));
    grpc::ByteBuffer frame;
    ASSERT_TRUE(chain->Read(&frame));
    grpc::Slice slice(garbage);
    chain->Write(grpc::ByteBuffer(&slice, 1));
    ASSERT_TRUE(lease->Read(&event));
    EXPECT_THAT(event.failed().failure().message(), HasSubstr("was sent a wrong message"));
    EXPECT_FALSE(chain->Read(&frame));
    lease_context.TryCancel();
  }
  EXPECT_TRUE(Eventually([&] { return cluster_.alive == 0; }));
  const auto pipeline = cluster_.Connect();
  EXPECT_TRUE(pipeline.ok()) << pipeline.status();
}

TEST_F(RawWorker, RefusesAnEdgeFromAnotherChain) {
  EXPECT_THAT(ChainRefusal(config_), HasSubstr("no stage at present"));
  Lease();
  StageConfig other = config_;
  other.epoch = 4;
  EXPECT_THAT(ChainRefusal(other), HasSubstr("epoch 5"));
  other = config_;
  other.versions.numeric = 9;
  EXPECT_THAT(ChainRefusal(other), HasSubstr(absl::StrCat("numeric contract revision 9, expected ",
                                                          Versions().numeric)));
  other = config_;
  other.model_identity[31] = 0;
  EXPECT_THAT(ChainRefusal(other), HasSubstr("another model"));
  other = config_;
  other.model_identity[0] = 0;
  EXPECT_THAT(ChainRefusal(other), HasSubstr("model 00ababababab, this stage has abababababab"));
  other = config_;
  other.width = 9;
  EXPECT_THAT(ChainRefusal(other), HasSubstr("width 9, this stage has 8"));
  other = config_;
  other.kv_type = "f32";
  EXPECT_THAT(ChainRefusal(other), HasSubstr("KV type f32, this stage has f16"));
  EXPECT_THAT(ChainRefusal(config_, 3), HasSubstr("stage 3, this stage has 0"));
  EXPECT_EQ(ChainRefusal(config_), "accepted");
}

TEST_F(RawWorker, SharesNoHeadThatIsItsOwn) {
  Lease();
  const auto head = OpenEdge(kHeadMethod);
  head->Write(EncodeFrame(MakeEdgeHello(config_, 0)));
  grpc::ByteBuffer frame;
  EXPECT_FALSE(head->Read(&frame));
  EXPECT_EQ(head->Finish().error_message(), "stage 0 of 1 shares no head");
}

// The last of two stages that share the head; the test is the first, and the coordinator.
class RawHead : public RawWorker {
 protected:
  void SetUp() override {
    RawWorker::SetUp();
    config_.stage_index = 1;
    config_.stage_count = 2;
    config_.role = {{1, 2}, false, true, kShared};
    Lease();
    head_ = OpenHead();
    grpc::ByteBuffer frame;
    ASSERT_TRUE(head_->Read(&frame));
  }
  ~RawHead() override {
    if (head_ != nullptr) head_->Cancel();
  }

  std::shared_ptr<ClientFrameStream> OpenHead() {
    auto head = OpenEdge(kHeadMethod);
    head->Write(EncodeFrame(MakeEdgeHello(config_, 1)));
    return head;
  }

  // Has the stage compute a step, and waits for its request.
  void BeginStep() {
    results_ = OpenEdge(kResultsMethod);
    chain_ = OpenEdge(kChainMethod);
    grpc::ByteBuffer frame;
    results_->Write(EncodeFrame(MakeEdgeHello(config_, 1)));
    ASSERT_TRUE(results_->Read(&frame));
    chain_->Write(EncodeFrame(MakeEdgeHello(config_, 1)));
    ASSERT_TRUE(chain_->Read(&frame));
    SendOutputs(0);
    ChainStep step;
    step.batch = SomeBatch(0);
    step.batch.epoch = config_.epoch;
    step.batch.hidden.assign(4 * kWidth, 0.5f);
    step.stages.resize(1);
    chain_->Write(EncodeStep(std::move(step)));
    ASSERT_TRUE(head_->Read(&frame));
    EXPECT_EQ(DecodeHeadRows(frame, config_)->count, 1);
  }

  std::shared_ptr<ClientFrameStream> head_;
};

// The first of two stages that share the head; the test is the last, and the coordinator.
class RawHelper : public RawWorker {
 protected:
  RawHelper()
      : RawWorker(
            {.on_shared_logits = [](int64_t) { std::this_thread::sleep_for(milliseconds(100)); }}) {
  }

  // Opens the chain, once the stage has dialled a last stage that asks for logits in `requests`.
  void Ask(std::vector<grpc::ByteBuffer> requests) {
    requests_ = std::move(requests);
    Address address = *ParseAddress("127.0.0.1:0");
    ASSERT_TRUE(last_stage_.Start(address));
    config_.stage_count = 2;
    config_.role = {{0, 1}, true, false, kShared};
    config_.next_address = address.ToString();
    Lease();
    chain_ = OpenEdge(kChainMethod);
    chain_->Write(EncodeFrame(MakeEdgeHello(config_, 0)));
  }

  absl::Status Serve(const std::string& method, FrameStream& stream) {
    grpc::ByteBuffer frame;
    stream.Read(&frame);
    stream.Write(method == kHeadMethod ? EncodeFrame(wire::HeadRows()) : EncodeCredits(2));
    if (method == kHeadMethod) {
      for (const grpc::ByteBuffer& request : requests_) stream.Write(request);
    }
    while (stream.Read(&frame)) {
      if (method == kHeadMethod) ++answers_;
    }
    return absl::OkStatus();
  }

  std::vector<grpc::ByteBuffer> requests_;
  std::atomic<int> answers_{0};
  CallServer last_stage_{
      [this](const std::string& method, const auto& stream) { return Serve(method, *stream); }};
};

TEST_F(RawHelper, AnswersAsManyRequestsAsMayBeAsked) {
  Ask(std::vector<grpc::ByteBuffer>(kMaxHeadRequests,
                                    EncodeHeadRows(std::vector<float>(kWidth), 1)));
  EXPECT_TRUE(Eventually([&] { return answers_ == kMaxHeadRequests; }));
}

TEST_F(RawHelper, RefusesMoreRequestsThanMayBeAsked) {
  Ask(std::vector<grpc::ByteBuffer>(kMaxHeadRequests + 1,
                                    EncodeHeadRows(std::vector<float>(kWidth), 1)));
  EXPECT_EQ(LeaseFailure(), "stage 0 was asked for logits more than 4 times at once");
}

TEST_F(RawHelper, RefusesRowsOfAnotherWidth) {
  Ask({EncodeHeadRows(std::vector<float>(kWidth + 1), 1)});
  EXPECT_EQ(LeaseFailure(), "floats of the head's rows is 9, expected 8 to 8");
}

TEST_F(RawHead, IsSharedWithOneStageAlone) {
  const auto second = OpenHead();
  grpc::ByteBuffer frame;
  EXPECT_FALSE(second->Read(&frame));
  EXPECT_EQ(second->Finish().error_message(), "stage 1 was connected already");
}

TEST_F(RawHead, RefusesLogitsThatNobodyAskedFor) {
  head_->Write(EncodeHeadLogits({.logits = std::vector<float>(kShared)}));
  EXPECT_EQ(LeaseFailure(), "logits came that nobody asked for");
}

TEST_F(RawHead, RefusesTooFewLogits) {
  BeginStep();
  head_->Write(EncodeHeadLogits({.logits = std::vector<float>(kShared - 1)}));
  EXPECT_EQ(LeaseFailure(), "shared logits is 29, expected 30 to 30");
}

TEST_F(RawHead, EndsWithTheStageThatItIsSharedWith) {
  BeginStep();
  head_->Cancel();
  EXPECT_EQ(LeaseFailure(), "stage 1 lost the stage that shares the head, stage 0");
  lease_context_.TryCancel();
  grpc::ByteBuffer frame;
  EXPECT_FALSE(results_->Read(&frame));  // no step has failed: it is computed again elsewhere
}

TEST_F(RawWorker, RefusesALeaseOfALowerEpoch) {
  Lease();
  for (const uint64_t epoch : {5, 4}) {
    config_.epoch = epoch;
    grpc::ClientContext context;
    auto lease = stub_->Configure(&context);
    lease->Write(ToWire(config_));
    wire::ConfigureEvent event;
    EXPECT_FALSE(lease->Read(&event));
    EXPECT_THAT(lease->Finish().error_message(), HasSubstr("held by a coordinator of epoch 5"));
  }
}

TEST_F(RawWorker, EndsALoadThatNobodyWaitsFor) {
  cluster_.endless_loads = true;
  StartLease();
  wire::ConfigureEvent event;
  ASSERT_TRUE(lease_->Read(&event));
  EXPECT_TRUE(event.has_progress());
  lease_context_.TryCancel();
  lease_->Finish();
  EXPECT_TRUE(Eventually([&] { return cluster_.cancelled_loads == 1; }));
}

TEST_F(RawWorker, EndsALoadForALaterCoordinator) {
  cluster_.endless_loads = true;
  StartLease();
  wire::ConfigureEvent event;
  ASSERT_TRUE(lease_->Read(&event));
  ++config_.epoch;
  grpc::ClientContext context;
  auto later = stub_->Configure(&context);
  later->Write(ToWire(config_));
  EXPECT_TRUE(Eventually([&] { return cluster_.cancelled_loads == 1; }));
  cluster_.endless_loads = false;
  while (!event.has_loaded()) ASSERT_TRUE(later->Read(&event));
  context.TryCancel();
  later->Finish();
}

TEST_F(RawWorker, RefusesARoleThatCannotBe) {
  config_.role.layers = {1, 9};
  grpc::ClientContext context;
  auto lease = stub_->Configure(&context);
  lease->Write(ToWire(config_));
  wire::ConfigureEvent event;
  EXPECT_FALSE(lease->Read(&event));
  EXPECT_THAT(lease->Finish().error_message(), HasSubstr("end layer is 9, expected 1 to 2"));
}

TEST_F(RawWorker, SaysThatItsNeighbourCannotBeReached) {
  config_.stage_count = 2;
  config_.role.head = false;
  config_.role.layers = {0, 1};
  config_.next_address = "127.0.0.1:1";
  Lease();
  EXPECT_THAT(ChainRefusal(config_),
              HasSubstr("stage 0 cannot connect to stage 1 at 127.0.0.1:1: Connection refused"));
  EXPECT_THAT(LeaseFailure(),
              HasSubstr("stage 0 cannot connect to stage 1 at 127.0.0.1:1: Connection refused"));
}

TEST(WorkerServerTest, SaysThatAPortIsInUse) {
  Cluster cluster(1);
  const std::string address = cluster.servers[0]->address();
  const auto second = WorkerServer::Start({.listen = address});
  EXPECT_EQ(std::string(second.status().message()),
            "cannot listen on " + address + ": the port is in use");
}

}  // namespace
}  // namespace baton
