#include "proto/transport.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using testing::HasSubstr;

TEST(AddressTest, ReadsTheFormsThatThereAre) {
  for (const char* text : {"localhost:0", "10.0.0.1:65535", "[::1]:5000", "unix:/some/path"}) {
    const auto address = ParseAddress(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->ToString(), text);
  }
  EXPECT_EQ(ParseAddress("[fe80::1]:7")->host, "fe80::1");
  EXPECT_EQ(ParseAddress("unix:a:b")->host, "a:b");
}

TEST(AddressTest, QuotesWhatIsNone) {
  for (const char* text : {"", "host", "host:", ":5000", "host:-1", "host:65536", "host:1x",
                           "unix:", "::1:5000", "[]:5", "http://host:80", "host: 5"}) {
    const auto address = ParseAddress(text);
    EXPECT_THAT(std::string(address.status().message()),
                HasSubstr(std::string("'") + text + "' is not an address"));
  }
}

TEST(StatusTest, CrossesGrpc) {
  const absl::Status status = absl::NotFoundError("no file: here");
  EXPECT_EQ(FromGrpc(ToGrpc(status)), status);
  EXPECT_TRUE(FromGrpc(ToGrpc(absl::OkStatus())).ok());
}

TEST(StatusTest, TellsAConnectionErrorInShort) {
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::StatusCode::UNAVAILABLE,
                                  "failed to connect to all addresses; last error: UNKNOWN: "
                                  "ipv4:127.0.0.1:1: Connection refused")),
            absl::UnavailableError("Connection refused"));
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::StatusCode::UNAVAILABLE,
                                  "DNS resolution failed for a.b:1: C-ares status is not "
                                  "ARES_SUCCESS: Domain name not found")),
            absl::UnavailableError("there is no such host"));
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "Deadline Exceeded")),
            absl::DeadlineExceededError("no answer in time"));
}

}  // namespace
}  // namespace baton
