// One worker, spoken to by hand: what should not cross the wire is refused, and harms nobody else.
#include "worker/worker_server.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/bounds.h"
#include "proto/call_server.h"
#include "proto/convert.h"
#include "proto/frame.h"
#include "proto/frame_stream.h"
#include "proto/handshake.h"
#include "proto/methods.h"
#include "proto/transport.h"
#include "proto/wire.grpc.pb.h"
#include "tests/fake_cluster.h"

namespace baton {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

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

  // What the worker says to one more who asks for a lease.
  std::string LeaseRefusal() {
    grpc::ClientContext context;
    auto lease = stub_->Configure(&context);
    lease->Write(ToWire(config_));
    wire::ConfigureEvent event;
    if (lease->Read(&event)) return "accepted";
    return lease->Finish().error_message();
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
    EXPECT_THAT(event.failed().failure().message(),
                HasSubstr("the coordinator sent a wrong message"));
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
    EXPECT_EQ(DecodeHeadRequest(frame, config_)->count, 1);
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
    stream.Write(method == kHeadMethod ? EncodeFrame(wire::HeadRequest()) : EncodeCredits(2));
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
                                    EncodeHeadRequest({1, std::vector<float>(kWidth)})));
  EXPECT_TRUE(Eventually([&] { return answers_ == kMaxHeadRequests; }));
}

TEST_F(RawHelper, RefusesMoreRequestsThanMayBeAsked) {
  Ask(std::vector<grpc::ByteBuffer>(kMaxHeadRequests + 1,
                                    EncodeHeadRequest({1, std::vector<float>(kWidth)})));
  EXPECT_EQ(LeaseFailure(),
            "stage 1 sent a wrong message: stage 0 was asked for logits more than 4 times at once");
}

TEST_F(RawHelper, RefusesRowsOfAnotherWidth) {
  Ask({EncodeHeadRequest({1, std::vector<float>(kWidth + 1)})});
  EXPECT_EQ(LeaseFailure(),
            "stage 1 sent a wrong message: floats of the head's rows is 9, expected 8 to 8");
}

TEST_F(RawHead, IsSharedWithOneStageAlone) {
  const auto second = OpenHead();
  grpc::ByteBuffer frame;
  EXPECT_FALSE(second->Read(&frame));
  EXPECT_EQ(second->Finish().error_message(), "stage 1 was connected already");
}

TEST_F(RawHead, RefusesLogitsThatNobodyAskedFor) {
  head_->Write(EncodeHeadReply({0, {std::vector<float>(kShared), {}}}));
  EXPECT_EQ(LeaseFailure(), "stage 0 sent a wrong message: logits came that nobody asked for");
}

TEST_F(RawHead, RefusesTooFewLogits) {
  BeginStep();
  head_->Write(EncodeHeadReply({0, {std::vector<float>(kShared - 1), {}}}));
  EXPECT_EQ(LeaseFailure(), "stage 0 sent a wrong message: shared logits is 29, expected 30 to 30");
}

TEST_F(RawHead, EndsWithTheStageThatItIsSharedWith) {
  BeginStep();
  head_->Cancel();
  EXPECT_EQ(LeaseFailure(), "stage 1 lost the stage that shares the head, stage 0");
  lease_context_.TryCancel();
  grpc::ByteBuffer frame;
  EXPECT_FALSE(results_->Read(&frame));  // no step has failed: it is computed again elsewhere
}

TEST_F(RawWorker, LooksAtNoFirstMessageThatIsTooLong) {
  config_.kv_block_counts.assign(kMaxControlBytes, 1);
  EXPECT_THAT(LeaseRefusal(), HasSubstr("a first message of "));
}

TEST_F(RawWorker, RefusesALeaseOfALowerEpoch) {
  Lease();
  EXPECT_THAT(LeaseRefusal(), HasSubstr("named twice"));
  config_.epoch = 4;
  EXPECT_THAT(LeaseRefusal(), HasSubstr("held by a coordinator of epoch 5"));
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
  EXPECT_THAT(LeaseRefusal(), HasSubstr("end layer is 9, expected 1 to 2"));
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