#include "proto/frame.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/support/slice.h"
#include "gtest/gtest.h"
#include "proto/bounds.h"
#include "proto/wire.pb.h"

namespace baton {
namespace {

using testing::HasSubstr;

wire::Credit SomeHeader() {
  wire::Credit header;
  header.set_steps(300);
  return header;
}

std::string Bytes(const grpc::ByteBuffer& frame) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(grpc::ByteBuffer(frame).Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) bytes.append(slice.begin(), slice.end());
  return bytes;
}

// The same bytes in slices of `size`, as a network may deliver them.
grpc::ByteBuffer InPieces(const std::string& bytes, size_t size) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size(); at += size) slices.emplace_back(bytes.substr(at, size));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

TEST(FrameTest, LooksAsItsHeaderSays) {
  EXPECT_EQ(Bytes(EncodeFrame(SomeHeader(), {1.0f})),
            std::string("\x03\0\0\0\x08\xac\x02\0\0\x80\x3f", 11));
}

TEST(FrameTest, ArrivesWholeHoweverItIsCut) {
  const std::vector<float> payload = {1.5f, -0.0f, 3e-40f, 7.0f, 1e30f};
  const std::string bytes = Bytes(EncodeFrame(SomeHeader(), payload));
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    wire::Credit header;
    std::vector<float> received;
    ASSERT_TRUE(DecodeFrame(InPieces(bytes, piece), &header, &received).ok()) << piece;
    EXPECT_EQ(header.steps(), 300u);
    EXPECT_EQ(received, payload);
  }
}

TEST(FrameTest, RefusesWhatIsCutOff) {
  const std::string bytes = Bytes(EncodeFrame(SomeHeader(), {1.0f, 2.0f}));
  for (size_t size = 0; size < bytes.size(); ++size) {
    if (size == 7 || size == 11) continue;  // a whole header, and whole floats: a shorter payload
    wire::Credit header;
    std::vector<float> payload;
    const absl::Status status = DecodeFrame(InPieces(bytes.substr(0, size), 3), &header, &payload);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << size;
  }
}

TEST(FrameTest, RefusesAHeaderThatIsNone) {
  wire::Versions header;
  const absl::Status status =
      DecodeFrame(InPieces(std::string("\x02\0\0\0\xff\xff", 6), 6), &header, nullptr);
  EXPECT_THAT(std::string(status.message()), HasSubstr("baton.wire.Versions"));
}

TEST(FrameTest, RefusesAPayloadWhereThereMustBeNone) {
  wire::Credit header;
  EXPECT_THAT(
      std::string(DecodeFrame(EncodeFrame(SomeHeader(), {1.0f}), &header, nullptr).message()),
      HasSubstr("payload of 4 bytes; expected none"));
}

TEST(FrameTest, RefusesAHeaderLongerThanTheBoundBeforeReadingIt) {
  wire::Credit header;
  const std::string bytes("\xff\xff\xff\xff\x08\x01", 6);
  EXPECT_THAT(std::string(DecodeFrame(InPieces(bytes, 6), &header, nullptr).message()),
              HasSubstr("4294967295 bytes, of which 2 are there"));
}

}  // namespace
}  // namespace baton
