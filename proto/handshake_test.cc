#include "proto/handshake.h"

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/bounds.h"

namespace baton {
namespace {

using testing::HasSubstr;

StageConfig SomeConfig() {
  StageConfig config;
  config.epoch = 77;
  config.model_identity.fill(0x5a);
  config.stage_index = 1;
  config.stage_count = 3;
  config.role.layers = {4, 9};
  config.role.shared_logits = 400;
  config.layer_count = 12;
  config.width = 576;
  config.vocabulary_size = 1000;
  config.kv_type = "q8_0";
  config.activations = "f32";
  config.kv_block_counts = {64, 12};
  config.context_length = 2048;
  config.asked_context = 1024;
  config.window = 8;
  config.next_address = "[::1]:5000";
  return config;
}

TEST(HandshakeTest, AConfigurationArrivesAsItWasSent) {
  const StageConfig sent = SomeConfig();
  const auto got = FromWire(ToWire(sent), Versions());
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->epoch, sent.epoch);
  EXPECT_EQ(got->model_identity, sent.model_identity);
  EXPECT_EQ(got->stage_index, 1);
  EXPECT_EQ(got->stage_count, 3);
  EXPECT_EQ(got->role.layers.begin, 4);
  EXPECT_EQ(got->role.layers.end, 9);
  EXPECT_FALSE(got->role.embedding);
  EXPECT_FALSE(got->role.head);
  EXPECT_EQ(got->role.shared_logits, 400);
  EXPECT_EQ(got->layer_count, 12);
  EXPECT_EQ(got->width, 576);
  EXPECT_EQ(got->vocabulary_size, 1000);
  EXPECT_EQ(got->kv_type, "q8_0");
  EXPECT_EQ(got->activations, "f32");
  EXPECT_EQ(got->kv_block_counts, (std::vector<int32_t>{64, 12}));
  EXPECT_EQ(got->context_length, 2048);
  EXPECT_EQ(got->asked_context, 1024);
  EXPECT_EQ(got->window, 8);
  EXPECT_EQ(got->next_address, "[::1]:5000");
  EXPECT_EQ(ToWire(*got).SerializeAsString(), ToWire(sent).SerializeAsString());
}

TEST(HandshakeTest, EveryNumberHasABound) {
  using Request = wire::ConfigureRequest;
  const std::vector<std::pair<std::function<void(Request&)>, std::string>> cases = {
      {[](Request& r) { r.set_stage_count(0); }, "stage count is 0, expected 1 to 256"},
      {[](Request& r) { r.set_stage_count(kMaxStages + 1); }, "stage count is 257"},
      {[](Request& r) { r.set_stage_index(3); }, "stage index is 3, expected 0 to 2"},
      {[](Request& r) { r.set_layer_count(0); }, "layer count is 0"},
      {[](Request& r) { r.set_layer_count(4294967295u); }, "layer count is 4294967295"},
      {[](Request& r) { r.set_end_layer(13); }, "end layer is 13, expected 1 to 12"},
      {[](Request& r) { r.set_first_layer(9); }, "first layer is 9, expected 0 to 8"},
      {[](Request& r) { r.set_width(0); }, "width is 0"},
      {[](Request& r) { r.set_vocabulary_size(1u << 31); }, "vocabulary size is 2147483648"},
      {[](Request& r) { r.clear_kv_block_counts(); }, "cache groups is 0, expected 1 to "},
      {[](Request& r) { r.set_kv_block_counts(1, 0); }, "KV block count is 0"},
      {[](Request& r) { r.set_asked_context(1u << 30); }, "asked context is 1073741824"},
      {[](Request& r) { r.set_context_length(1u << 30); }, "context length is 1073741824"},
      {[](Request& r) { r.set_window(1000); }, "window is 1000, expected 1 to 256"},
      {[](Request& r) { r.set_model_identity("short"); }, "model identity is 5, expected 32"},
      {[](Request& r) { r.set_kv_type("f\n16"); }, "KV type of 4 bytes is not printable"},
      {[](Request& r) { r.set_next_address(std::string(600, 'a')); }, "address of 600 bytes"},
      {[](Request& r) { r.set_next_address(""); }, "no next stage"},
      {[](Request& r) { r.set_embedding(true); }, "stage 1 has the embedding"},
      {[](Request& r) { r.set_head(true); }, "has the head"},
      {[](Request& r) { r.set_stage_index(2); }, "stage 2 of 3 lacks the head"},
      {[](Request& r) { r.set_stage_index(0); }, "stage 0 lacks the embedding"},
      {[](Request& r) { r.set_shared_logits(1000); }, "shared logits is 1000, expected 0 to 999"},
      {[](Request& r) {
         r.set_vocabulary_size(kMaxVocabulary);
         r.set_shared_logits(kMaxSharedLogits + 1);
       },
       "shared logits is 1048577, expected 0 to 1048576"},
      {[](Request& r) { r.set_stage_count(4); }, "stage 1 of 4 shares the head"},
  };
  for (const auto& [spoil, expected] : cases) {
    Request request = ToWire(SomeConfig());
    spoil(request);
    const auto got = FromWire(request, Versions());
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << expected;
    EXPECT_THAT(std::string(got.status().message()), HasSubstr(expected));
  }
}

TEST(HandshakeTest, VersionsAreComparedBeforeAllElse) {
  wire::ConfigureRequest request;  // nothing in it is right
  EXPECT_EQ(std::string(FromWire(request, Versions()).status().message()),
            absl::StrCat("the coordinator was built with protocol version 0, expected ",
                         Versions().protocol, ": both sides need the same build"));
}

TEST(HandshakeTest, EdgesOfOneChainMeet) {
  const StageConfig config = SomeConfig();
  EXPECT_TRUE(CheckEdgeHello(config, MakeEdgeHello(config, 1)).ok());
  EXPECT_FALSE(CheckEdgeHello(config, MakeEdgeHello(config, 2)).ok());
  StageConfig stale = config;
  stale.epoch = 76;
  const absl::Status status = CheckEdgeHello(config, MakeEdgeHello(stale, 1));
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(std::string(status.message()),
            "the previous stage is of epoch 76, this stage of epoch 77");
}

TEST(HandshakeTest, TheLastTwoStagesAgreeOnWhatTheyShare) {
  const StageConfig before = SomeConfig();
  StageConfig last = SomeConfig();
  last.stage_index = 2;
  EXPECT_TRUE(CheckEdgeHello(last, MakeEdgeHello(before, 2)).ok());
  last.role.shared_logits = 399;
  EXPECT_EQ(std::string(CheckEdgeHello(last, MakeEdgeHello(before, 2)).message()),
            "the previous stage has shared logits 400, this stage has 399");
  StageConfig first = SomeConfig();
  first.stage_index = 0;
  first.role.shared_logits = 0;
  EXPECT_TRUE(CheckEdgeHello(before, MakeEdgeHello(first, 1)).ok());
}

TEST(HandshakeTest, AFailureKeepsItsCodeAndCannotSpoilATerminal) {
  const absl::Status status =
      FromWire(ToWire(absl::DataLossError("file \x1b[2J\xff\n is cut off")));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(std::string(status.message()), "file ?[2J\xff? is cut off");
  EXPECT_EQ(FromWire(ToWire(absl::InternalError(std::string(9999, 'x')))).message().size(),
            kMaxErrorBytes);
  for (const int code : {0, -1, 17, 1 << 30}) {
    wire::Failure failure;
    failure.set_code(code);
    EXPECT_EQ(FromWire(failure).code(), absl::StatusCode::kUnknown);
  }
}

TEST(HandshakeTest, ShortIdIsTheFirstTwelveDigits) {
  EXPECT_EQ(ShortId(SomeConfig().model_identity), "5a5a5a5a5a5a");
}

}  // namespace
}  // namespace baton
