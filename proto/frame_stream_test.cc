#include "proto/frame_stream.h"

#include <atomic>
#include <future>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proto/bounds.h"
#include "proto/call_server.h"
#include "proto/transport.h"
#include "proto/wire.pb.h"

namespace baton {
namespace {

constexpr std::chrono::seconds kPromptly{10};
// More than a connection takes while nobody reads at its other end.
constexpr int kManyFrames = 400;
constexpr size_t kLargeFrame = 1 << 20;

grpc::ByteBuffer FrameOf(const std::string& text) {
  const grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

std::string TextOf(const grpc::ByteBuffer& frame) {
  grpc::ByteBuffer bytes = frame;
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(bytes.Dump(&slices).ok());
  std::string text;
  for (const grpc::Slice& slice : slices) text.append(slice.begin(), slice.end());
  return text;
}

// A server whose calls do what the method's name says, and a client.
class StreamTest : public testing::Test {
 protected:
  void SetUp() override {
    Address address = *ParseAddress("127.0.0.1:0");
    ASSERT_TRUE(server_.Start(address));
    channel_ = Dial(address.ToString());
  }

  std::shared_ptr<ClientFrameStream> Open(const char* method) {
    return ClientFrameStream::Open(channel_, method, loop_);
  }

  absl::Status Serve(const std::string& method, const std::shared_ptr<ServerFrameStream>& stream) {
    grpc::ByteBuffer frame;
    if (method == "/test/Echo") {
      while (stream->Read(&frame)) stream->Write(frame);
      return absl::OkStatus();
    }
    if (method == "/test/Refuse") {
      stream->Read(&frame);
      stream->Write(FrameOf("a last word"));
      return absl::NotFoundError("no such thing");
    }
    if (method == "/test/Wait") {
      stream->Write(FrameOf("waits"));
      stream->ReadEach([](const grpc::ByteBuffer&) { return true; });
      ended_.set_value();
      return absl::OkStatus();
    }
    if (method == "/test/Flood") {
      for (int i = 0; i < kManyFrames; ++i) {
        stream->Write(FrameOf(std::string(kLargeFrame, 'x')), [this] { ++sent_; });
      }
      stream->Read(&frame);
      return absl::OkStatus();
    }
    return absl::UnimplementedError("unknown");
  }

  std::promise<void> ended_;
  std::atomic<int> sent_{0};
  CallServer server_{
      [this](const std::string& method, const std::shared_ptr<ServerFrameStream>& stream) {
        return Serve(method, stream);
      }};
  EventLoop loop_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(StreamTest, FramesArriveInOrderAndSentIsTold) {
  const auto stream = Open("/test/Echo");
  std::atomic<int> sent{0};
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(stream->Write(FrameOf(absl::StrCat(i)), [&sent] { ++sent; }));
  }
  grpc::ByteBuffer frame;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(stream->Read(&frame));
    EXPECT_EQ(TextOf(frame), absl::StrCat(i));
  }
  stream->FinishWriting(kPromptly);
  EXPECT_EQ(sent, 100);
  EXPECT_FALSE(stream->Write(FrameOf("late")));
  stream->Cancel();
  EXPECT_FALSE(stream->Read(&frame));
}

TEST_F(StreamTest, ReadEachEndsWhenItIsToldTo) {
  const auto stream = Open("/test/Echo");
  for (const char* text : {"1", "2", "3", "4"}) stream->Write(FrameOf(text));
  std::string seen;
  stream->ReadEach([&](const grpc::ByteBuffer& frame) {
    seen += TextOf(frame);
    return seen.size() < 3;
  });
  EXPECT_EQ(seen, "123");
  grpc::ByteBuffer frame;
  ASSERT_TRUE(stream->Read(&frame));
  EXPECT_EQ(TextOf(frame), "4");
  stream->Cancel();
}

TEST_F(StreamTest, AStatusComesAfterTheLastFrame) {
  const auto stream = Open("/test/Refuse");
  stream->Write(FrameOf("please"));
  grpc::ByteBuffer frame;
  ASSERT_TRUE(stream->Read(&frame));
  EXPECT_EQ(TextOf(frame), "a last word");
  EXPECT_FALSE(stream->Read(&frame));
  EXPECT_EQ(FromGrpc(stream->Finish()), absl::NotFoundError("no such thing"));
}

TEST_F(StreamTest, UnknownMethodsAndUnreachablePeersEndAStream) {
  grpc::ByteBuffer frame;
  const auto unknown = Open("/test/Nothing");
  EXPECT_FALSE(unknown->Read(&frame));
  EXPECT_TRUE(absl::IsUnimplemented(FromGrpc(unknown->Finish())));
  const auto nobody = ClientFrameStream::Open(Dial("127.0.0.1:1"), "/test/Echo", loop_);
  nobody->Write(FrameOf("hello"));
  EXPECT_FALSE(nobody->Read(&frame));
  EXPECT_TRUE(absl::IsUnavailable(FromGrpc(nobody->Finish())));
  EXPECT_FALSE(nobody->Write(FrameOf("hello")));
}

TEST_F(StreamTest, ReadWithinEndsAStreamThatIsSilent) {
  const auto stream = Open("/test/Echo");
  grpc::ByteBuffer frame;
  stream->Write(FrameOf("1"));
  ASSERT_TRUE(stream->ReadWithin(kPromptly, &frame));
  EXPECT_EQ(TextOf(frame), "1");
  EXPECT_FALSE(stream->ReadWithin(std::chrono::milliseconds(50), &frame));
  EXPECT_FALSE(stream->Write(FrameOf("2")));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(StreamTest, EitherSideEndsAReadThatWaits) {
  for (const bool by_client : {true, false}) {
    ended_ = {};
    const auto stream = Open("/test/Wait");
    grpc::ByteBuffer frame;
    ASSERT_TRUE(stream->Read(&frame));
    if (by_client) {
      stream->Cancel();
    } else {
      server_.Stop(std::chrono::milliseconds(0));
    }
    EXPECT_EQ(ended_.get_future().wait_for(kPromptly), std::future_status::ready);
    EXPECT_FALSE(stream->Read(&frame));
  }
}

// What is written waits in memory, and a peer that never reads cannot hold up the server's end.
TEST_F(StreamTest, WritingNeverWaits) {
  const auto stream = Open("/test/Flood");
  grpc::ByteBuffer frame;
  ASSERT_TRUE(stream->Read(&frame));
  EXPECT_LT(sent_, kManyFrames);
  stream->Write(FrameOf("enough"));
  server_.Stop(std::chrono::milliseconds(0));
  EXPECT_LT(sent_, kManyFrames);
  stream->Cancel();
}

TEST_F(StreamTest, MessagesAreThoseOfGeneratedCode) {
  wire::StatsRequest request;
  request.set_epoch(77);
  wire::StatsRequest got;
  EXPECT_TRUE(DecodeMessage(EncodeMessage(request), &got));
  EXPECT_EQ(got.epoch(), 77u);
  EXPECT_FALSE(DecodeMessage(FrameOf("\xff\xff"), &got));
  EXPECT_FALSE(DecodeMessage(grpc::ByteBuffer(), &got));
  // A field that nobody knows, many times, as far as messages are parsed, and beyond.
  const auto unknown = [](size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += "\x78\x01";
    return FrameOf(text);
  };
  EXPECT_TRUE(DecodeMessage(unknown(kMaxControlBytes), &got));
  EXPECT_FALSE(DecodeMessage(unknown(kMaxControlBytes + 2), &got));
}

TEST(CallServerTest, RefusesMoreCallsThanItHasThreadsFor) {
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  CallServer server([gone](const std::string&, const std::shared_ptr<ServerFrameStream>& stream) {
    stream->Write(FrameOf("runs"));
    gone.wait();
    return absl::OkStatus();
  });
  Address address = *ParseAddress("127.0.0.1:0");
  ASSERT_TRUE(server.Start(address));
  EventLoop loop;
  std::vector<std::shared_ptr<ClientFrameStream>> streams;
  grpc::ByteBuffer frame;
  for (int connection = 0; connection < 2; ++connection) {
    const std::shared_ptr<grpc::Channel> channel = Dial(address.ToString());
    for (int i = 0; i < kMaxServerStreams; ++i) {
      streams.push_back(ClientFrameStream::Open(channel, "/test/Run", loop));
      ASSERT_TRUE(streams.back()->Read(&frame));
    }
  }
  const auto refused = ClientFrameStream::Open(Dial(address.ToString()), "/test/Run", loop);
  EXPECT_FALSE(refused->Read(&frame));
  EXPECT_EQ(FromGrpc(refused->Finish()).message(), "more than 64 calls at once");
  go.set_value();
  for (const auto& stream : streams) {
    EXPECT_FALSE(stream->Read(&frame));
    EXPECT_TRUE(stream->Finish().ok());
  }
}

TEST(CallServerTest, EndsWithoutHavingStarted) {
  CallServer server([](const std::string&, const std::shared_ptr<ServerFrameStream>&) {
    return absl::OkStatus();
  });
  Address address = *ParseAddress("unix:/nowhere/at/all");
  EXPECT_FALSE(server.Start(address));
}

}  // namespace
}  // namespace baton
