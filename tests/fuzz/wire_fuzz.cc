// Any bytes as any message of the wire: byte 0 chooses which, byte 1 the stage that gets it. What
// is accepted must stand its own checks again after it was sent on.
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"
#include "proto/convert.h"
#include "proto/handshake.h"
#include "proto/version.h"
#include "proto/wire.pb.h"
#include "tests/fuzz/fuzz_target.h"

namespace baton {
namespace {

enum Message : uint8_t {
  kStep,
  kOutputs,
  kReply,
  kConfigure,
  kEdgeHello,
  kFailure,
  kHeadRequest,
  kHeadReply,
  kHeadCandidates,
  kMessageCount
};

StageConfig StageOf(int index) {
  StageConfig stage;
  stage.stage_index = index;
  stage.stage_count = 3;
  stage.role.layers = {2 * index, 2 * index + 2};
  stage.role.embedding = index == 0;
  stage.role.head = index == 2;
  stage.role.shared_logits = index > 0 ? 20 : 0;
  stage.layer_count = 6;
  stage.width = 4;
  stage.vocabulary_size = 50;
  stage.kv_block_counts = {10, 4};
  stage.context_length = 64;
  stage.window = 3;
  if (index < 2) stage.next_address = "localhost:5000";
  return stage;
}

constexpr int64_t kAskedHeadRows = 2;
constexpr int32_t kAskedCandidates = 3;

StepOutputs Asked() {
  StepOutputs asked = {.epoch = 9, .step = 5, .outputs = std::vector<OutputSpec>(2)};
  asked.outputs[0].kind = OutputSpec::Kind::kSample;
  asked.outputs[0].sampled_rows = 2;
  asked.outputs[0].return_logits = true;
  asked.outputs[0].sample.params.temperature = 0.5f;
  asked.outputs[0].sample.params.top_k = 7;
  asked.outputs[0].sample.history = {4, 5, 6};
  asked.outputs[0].sample.logit_bias = {{3, -1.0f}};
  asked.outputs[0].sample.top_logprobs = 2;
  asked.outputs[1].kind = OutputSpec::Kind::kScore;
  asked.outputs[1].targets = {11};
  return asked;
}

grpc::ByteBuffer Frame(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string Bytes(const grpc::ByteBuffer& frame) {
  std::vector<grpc::Slice> slices;
  CHECK(grpc::ByteBuffer(frame).Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) bytes.append(slice.begin(), slice.end());
  return bytes;
}

void Receive(Message message, int stage_index, const std::string& bytes) {
  const StageConfig stage = StageOf(stage_index);
  switch (message) {
    case kStep: {
      auto step = DecodeStep(Frame(bytes), stage);
      if (step.ok()) CHECK(DecodeStep(EncodeStep(*std::move(step)), stage).ok());
      return;
    }
    case kOutputs: {
      const auto outputs = DecodeOutputs(Frame(bytes), StageOf(2));
      if (outputs.ok()) CHECK(DecodeOutputs(EncodeOutputs(*outputs), StageOf(2)).ok());
      return;
    }
    case kReply: {
      auto reply = DecodeReply(Frame(bytes), StageOf(2), Asked());
      if (reply.ok()) CHECK(DecodeReply(EncodeReply(*std::move(reply)), StageOf(2), Asked()).ok());
      return;
    }
    case kConfigure: {
      wire::ConfigureRequest request;
      if (!request.ParseFromString(bytes)) return;
      const auto config = FromWire(request, Versions());
      if (config.ok()) CHECK(FromWire(ToWire(*config), Versions()).ok());
      return;
    }
    case kEdgeHello: {
      wire::EdgeHello hello;
      if (hello.ParseFromString(bytes)) CheckEdgeHello(stage, hello).IgnoreError();
      return;
    }
    case kFailure: {
      wire::Failure failure;
      if (failure.ParseFromString(bytes)) CHECK(!FromWire(failure).ok());
      return;
    }
    case kHeadRequest: {
      auto request = DecodeHeadRequest(Frame(bytes), stage);
      if (!request.ok()) return;
      CHECK(DecodeHeadRequest(EncodeHeadRequest(*std::move(request)), stage).ok());
      return;
    }
    case kHeadReply:
    case kHeadCandidates: {
      const int32_t candidates = message == kHeadReply ? 0 : kAskedCandidates;
      auto reply = DecodeHeadReply(Frame(bytes), stage, kAskedHeadRows, candidates);
      if (!reply.ok()) return;
      const grpc::ByteBuffer frame = EncodeHeadReply(*std::move(reply));
      CHECK(DecodeHeadReply(frame, stage, kAskedHeadRows, candidates).ok());
      return;
    }
    case kMessageCount:
      return;
  }
}

std::string Seed(Message message, int stage, const std::string& bytes) {
  return std::string({static_cast<char>(message), static_cast<char>(stage)}) + bytes;
}

ChainStep SomeStep(int stage) {
  ChainStep step;
  step.batch.epoch = 9;
  step.batch.step = 1234567890123;
  step.batch.spans.push_back({.tokens = {1, 49}, .first_position = 62, .block_table = {9, 0}});
  if (stage > 0) step.batch.hidden.assign(8, 0.5f);
  step.stages.assign(stage, {.compute_ms = 0.5});
  return step;
}

StepReply SomeReply() {
  StepReply reply;
  reply.result.epoch = 9;
  reply.result.step = 5;
  reply.result.stages.resize(3);
  reply.result.outputs.resize(2);
  reply.result.outputs[0].samples.assign(
      2, {.token = 4, .logprob = -0.25f, .top_logprobs = {{4, -0.25f}, {5, -2.0f}}});
  reply.result.outputs[0].logits.assign(100, 0.125f);
  reply.result.outputs[1].scores = {-3.25};
  return reply;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  for (int stage = 0; stage < 3; ++stage) {
    seeds.push_back(Seed(kStep, stage, Bytes(EncodeStep(SomeStep(stage)))));
    seeds.push_back(Seed(kConfigure, stage, ToWire(StageOf(stage)).SerializeAsString()));
    if (stage > 0) {
      seeds.push_back(
          Seed(kEdgeHello, stage, MakeEdgeHello(StageOf(stage - 1), stage).SerializeAsString()));
    }
  }
  ChainStep failed;
  failed.error = absl::InternalError("not finite");
  seeds.push_back(Seed(kStep, 1, Bytes(EncodeStep(std::move(failed)))));
  seeds.push_back(Seed(kOutputs, 2, Bytes(EncodeOutputs(Asked()))));
  seeds.push_back(Seed(kReply, 2, Bytes(EncodeReply(SomeReply()))));
  const std::vector<float> rows(kAskedHeadRows * 4, 0.5f), logits(kAskedHeadRows * 20, 0.25f);
  seeds.push_back(Seed(kHeadRequest, 1, Bytes(EncodeHeadRequest({kAskedHeadRows, rows, 7}))));
  seeds.push_back(Seed(kHeadReply, 2, Bytes(EncodeHeadReply({0.5, {logits, {}}}))));
  const HeadShare candidates = {std::vector<float>(kAskedHeadRows * kAskedCandidates, 0.25f),
                                std::vector<int32_t>(kAskedHeadRows * kAskedCandidates, 19)};
  seeds.push_back(Seed(kHeadCandidates, 2, Bytes(EncodeHeadReply({0.5, candidates}))));
  seeds.push_back(Seed(kFailure, 0, ToWire(absl::DataLossError("gone")).SerializeAsString()));
  return seeds;
}

}  // namespace baton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  baton::Receive(static_cast<baton::Message>(data[0] % baton::kMessageCount), data[1] % 3, bytes);
  return 0;
}
