// Workers with fake stages in this process, each behind its own gRPC server, and steps for them.
#ifndef BATON_TESTS_FAKE_CLUSTER_H_
#define BATON_TESTS_FAKE_CLUSTER_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "coordinator/cluster/remote_pipeline.h"
#include "gtest/gtest.h"
#include "proto/handshake.h"
#include "proto/transport.h"
#include "worker/fake_stage.h"
#include "worker/worker_server.h"

namespace baton {

inline constexpr int kWidth = 8;
inline constexpr int kVocabulary = 100;
inline constexpr auto kPromptly = std::chrono::seconds(2);

inline ModelIdentity SomeIdentity() {
  ModelIdentity identity;
  identity.fill(0xab);
  return identity;
}

inline ModelSpec SomeSpec(int layer_count) {
  ModelSpec spec;
  spec.layer_count = layer_count;
  spec.width = kWidth;
  spec.vocabulary_size = kVocabulary;
  return spec;
}

inline PipelinePlan EvenPlan(int stages, int layers_each) {
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
inline constexpr int kShared = 30;
inline void Share(PipelinePlan& plan) {
  plan.stages.back().role.shared_logits = kShared;
  plan.stages.rbegin()[1].role.shared_logits = kShared;
}

inline Batch SomeBatch(uint64_t step, std::vector<int32_t> tokens = {3, 1, 4}) {
  Batch batch;
  batch.step = step;
  const int32_t position = static_cast<int32_t>(step % 50);
  batch.spans.push_back(
      {.tokens = std::move(tokens), .first_position = position, .block_table = {0, 1, 2, 3}});
  batch.spans.push_back({.tokens = {7}, .first_position = position + 1, .block_table = {5, 4}});
  return batch;
}

inline std::vector<OutputSpec> SomeOutputs() {
  std::vector<OutputSpec> outputs(2);
  outputs[0].kind = OutputSpec::Kind::kSample;
  outputs[0].return_logits = true;
  outputs[1].kind = OutputSpec::Kind::kScore;
  outputs[1].targets = {9};
  return outputs;
}

inline void ExpectEqual(const std::vector<SpanOutput>& a, const std::vector<SpanOutput>& b) {
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
inline std::vector<SpanOutput> Expected(const Batch& batch, int layer_count) {
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
        alive_when_loading = alive.load();
        progress(progress_bytes, 1000);
        while (progress(500, 1000) && endless_loads)
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
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
  std::atomic<int> alive_when_loading{0};     // stages, when the last load began
  std::atomic<uint64_t> progress_bytes{500};  // of 1000: what a load says first
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

inline bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPromptly;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace baton

#endif  // BATON_TESTS_FAKE_CLUSTER_H_
