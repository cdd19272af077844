#include "coordinator/http/http_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

// A connection, byte by byte.
class Client {
 public:
  explicit Client(const std::string& address) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
  }
  ~Client() { Close(); }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  bool connected() const { return connected_; }

  void Write(const std::string& bytes) {
    ASSERT_EQ(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // Until the text is there, or the connection has ended.
  std::string ReadUntil(const std::string& text) {
    while (received_.find(text) == std::string::npos && Fill()) {
    }
    return received_;
  }
  std::string ReadAll() {
    while (Fill()) {
    }
    return received_;
  }
  void Forget() { received_.clear(); }

 private:
  bool Fill() {
    char bytes[4096];
    const ssize_t count = recv(fd_, bytes, sizeof(bytes), 0);
    if (count <= 0) return false;
    received_.append(bytes, count);
    return true;
  }
  int fd_;
  bool connected_ = false;
  std::string received_;
};

// Replies that a test gives by hand, in the order of their requests.
class HttpServerTest : public testing::Test {
 protected:
  void Start(HttpLimits limits = {}) {
    HttpServerOptions options;
    options.port = 0;
    options.limits = limits;
    auto server = HttpServer::Start(options, [this](HttpRequest request, auto reply) {
      if (request.path == "/echo") {
        reply->Send({.content_type = "text/plain",
                     .body = absl::StrCat(request.method, " ", request.body),
                     .headers = {{"X-Own", "1"}}});
        return;
      }
      if (request.path == "/throw") throw std::runtime_error("a bug");
      const std::lock_guard<std::mutex> lock(mutex_);
      replies_.push_back(std::move(reply));
      came_.notify_all();
    });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::shared_ptr<HttpReply> Reply(size_t index) {
    std::unique_lock<std::mutex> lock(mutex_);
    came_.wait(lock, [&] { return replies_.size() > index; });
    return replies_[index];
  }

  Client Connect() { return Client(server_->address()); }

  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<std::shared_ptr<HttpReply>> replies_;
  std::unique_ptr<HttpServer> server_;
};

constexpr char kEcho[] = "POST /echo?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
constexpr char kWait[] = "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n";

TEST_F(HttpServerTest, AnswersOneRequestAfterTheOther) {
  Start();
  Client client = Connect();
  for (int i = 0; i < 3; ++i) {
    client.Write(kEcho);
    const std::string answer = client.ReadUntil("POST hello");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(answer, HasSubstr("Content-Length: 10\r\n"));
    EXPECT_THAT(answer, HasSubstr("X-Own: 1\r\n"));
    client.Forget();
  }
  // At once, too.
  client.Write(absl::StrCat(kEcho, "GET /echo HTTP/1.1\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(client.ReadAll(), EndsWith("GET "));
}

TEST_F(HttpServerTest, HeadIsGetWithoutABody) {
  Start();
  Client client = Connect();
  client.Write("HEAD /echo HTTP/1.1\r\n\r\n");
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("Content-Length: 4\r\n"));
  client.Forget();
  client.Write(kEcho);
  EXPECT_THAT(client.ReadUntil("POST hello"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(HttpServerTest, EmptyLinesBeforeARequestAreNone) {
  Start();
  Client client = Connect();
  client.Write(absl::StrCat("\r\n\r\n", kEcho));
  EXPECT_THAT(client.ReadUntil("POST hello"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(HttpServerTest, WhatAHandlerThrowsIsAnAnswer) {
  Start();
  Client client = Connect();
  client.Write("GET /throw HTTP/1.1\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("a bug"), StartsWith("HTTP/1.1 500 "));
}

TEST_F(HttpServerTest, AStreamBeginsBeforeThereIsAnythingInIt) {
  Start();
  Client client = Connect();
  client.Write(kWait);
  Reply(0)->SendEvents("");
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), HasSubstr("Content-Type: text/event-stream\r\n"));
  client.Forget();
  Reply(0)->SendEvents("data: 1\n\n");
  EXPECT_EQ(client.ReadUntil("data: 1\n\n\r\n"), "9\r\ndata: 1\n\n\r\n");
}

TEST_F(HttpServerTest, StreamsInChunks) {
  Start();
  Client client = Connect();
  client.Write(kWait);
  Reply(0)->SendEvents("data: 1\n\n");
  EXPECT_THAT(client.ReadUntil("data: 1\n\n\r\n"),
              HasSubstr("Content-Type: text/event-stream\r\n"));
  Reply(0)->SendEvents("data: 2\n\n");
  Reply(0)->End();
  EXPECT_THAT(client.ReadUntil("0\r\n\r\n"), EndsWith("9\r\ndata: 2\n\n\r\n0\r\n\r\n"));
  // The connection is there for more.
  client.Forget();
  client.Write(kEcho);
  EXPECT_THAT(client.ReadUntil("POST hello"), EndsWith("POST hello"));
}

TEST_F(HttpServerTest, AnOldClientGetsNoChunks) {
  Start();
  Client client = Connect();
  client.Write("GET /wait HTTP/1.0\r\n\r\n");
  Reply(0)->SendEvents("data: 1\n\n");
  Reply(0)->End();
  EXPECT_THAT(client.ReadAll(), EndsWith("\r\n\r\ndata: 1\n\n"));
}

TEST_F(HttpServerTest, ASilentStreamGetsComments) {
  Start({.ping_time = std::chrono::milliseconds(5)});
  Client client = Connect();
  client.Write(kWait);
  Reply(0)->SendEvents("data: 1\n\n");
  EXPECT_THAT(client.ReadUntil(": ping\n\n"), HasSubstr(": ping\n\n"));
}

TEST_F(HttpServerTest, NoticesThatAClientIsGone) {
  Start();
  for (const bool streaming : {false, true}) {
    Client client = Connect();
    client.Write(kWait);
    const std::shared_ptr<HttpReply> reply = Reply(streaming);
    if (streaming) {
      reply->SendEvents("data: 1\n\n");
      client.ReadUntil("data: 1");
    }
    bool gone = false;
    reply->OnGone([&] {
      const std::lock_guard<std::mutex> lock(mutex_);
      gone = true;
      came_.notify_all();
    });
    // Also behind the beginning of another request.
    client.Write("\r\nGET");
    client.Close();
    std::unique_lock<std::mutex> lock(mutex_);
    came_.wait(lock, [&] { return gone; });
  }
}

TEST_F(HttpServerTest, RefusesWhatIsTooLong) {
  Start({.header_bytes = 1000, .body_bytes = 100});
  Client body = Connect();
  body.Write("POST /echo HTTP/1.1\r\nContent-Length: 101\r\n\r\n");
  EXPECT_THAT(body.ReadAll(), testing::AllOf(StartsWith("HTTP/1.1 413 "), HasSubstr("100 bytes")));
  Client chunked = Connect();
  chunked.Write("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n");
  chunked.Write(std::string(255, 'x'));
  EXPECT_THAT(chunked.ReadAll(), StartsWith("HTTP/1.1 413 "));
  Client header = Connect();
  header.Write(absl::StrCat("GET /echo HTTP/1.1\r\nX: ", std::string(1000, 'x')));
  EXPECT_THAT(header.ReadAll(),
              testing::AllOf(StartsWith("HTTP/1.1 431 "), HasSubstr("1000 bytes")));
}

TEST_F(HttpServerTest, RefusesWhatIsNotHttp) {
  Start();
  Client client = Connect();
  client.Write("hello there\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 400 "));
}

TEST_F(HttpServerTest, DoesNotWaitForEver) {
  Start(
      {.request_time = std::chrono::milliseconds(20), .idle_time = std::chrono::milliseconds(20)});
  Client half = Connect();
  half.Write("POST /echo HTTP/1.1\r\nContent-Le");
  EXPECT_EQ(half.ReadAll(), "");
  Client silent = Connect();
  EXPECT_EQ(silent.ReadAll(), "");
}

TEST_F(HttpServerTest, SaysThatABodyMayCome) {
  Start();
  Client client = Connect();
  client.Write("POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Write("hello");
  EXPECT_THAT(client.ReadUntil("POST hello"), EndsWith("POST hello"));
}

TEST_F(HttpServerTest, TurnsAwayWhoIsOneTooMany) {
  Start({.connections = 1});
  Client first = Connect();
  first.Write(kEcho);
  first.ReadUntil("POST hello");
  Client second = Connect();
  const std::string answer = second.ReadAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 32\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nerror: too many connections now\n"));
}

TEST_F(HttpServerTest, DrainFinishesWhatWasBegun) {
  Start();
  Client busy = Connect();
  busy.Write(kWait);
  Reply(0)->SendEvents("data: 1\n\n");
  busy.ReadUntil("data: 1");
  Client idle = Connect();
  idle.Write(kEcho);
  idle.ReadUntil("POST hello");
  std::thread drain([&] { server_->Drain(std::chrono::minutes(1)); });
  idle.ReadAll();
  // The listening socket closes before connections do.
  EXPECT_FALSE(Connect().connected());
  Reply(0)->SendEvents("data: 2\n\n");
  Reply(0)->End();
  EXPECT_THAT(busy.ReadAll(), HasSubstr("data: 2\n\n\r\n0\r\n\r\n"));
  drain.join();
}

TEST_F(HttpServerTest, DrainLeavesWhoTakesTooLong) {
  Start();
  Client client = Connect();
  client.Write(kWait);
  const std::shared_ptr<HttpReply> reply = Reply(0);
  server_->Drain(std::chrono::milliseconds(1));
  EXPECT_TRUE(reply->gone());
  EXPECT_EQ(client.ReadAll(), "");
}

TEST_F(HttpServerTest, RepliesOutliveTheServer) {
  Start();
  Client client = Connect();
  client.Write(kWait);
  const std::shared_ptr<HttpReply> reply = Reply(0);
  bool gone = false;
  reply->OnGone([&] { gone = true; });
  server_ = nullptr;
  EXPECT_TRUE(gone);
  reply->SendEvents("data: 1\n\n");
  reply->End();
  EXPECT_EQ(client.ReadAll(), "");
}

TEST_F(HttpServerTest, AnAddressThatIsTakenIsNamed) {
  Start();
  HttpServerOptions options;
  int port = 0;
  ASSERT_TRUE(
      absl::SimpleAtoi(server_->address().substr(server_->address().rfind(':') + 1), &port));
  options.port = static_cast<uint16_t>(port);
  const absl::Status status = HttpServer::Start(options, [](HttpRequest, auto) {}).status();
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(HasSubstr(server_->address()), HasSubstr("in use")));
  options.host = "no.such.host.invalid";
  EXPECT_FALSE(HttpServer::Start(options, [](HttpRequest, auto) {}).ok());
}

TEST_F(HttpServerTest, ManyStreamsAtOnce) {
  Start();
  constexpr int kStreams = 300;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<Client>(server_->address()));
    clients.back()->Write(kWait);
  }
  Reply(kStreams - 1);
  for (int event = 0; event < 5; ++event) {
    for (int i = 0; i < kStreams; ++i) Reply(i)->SendEvents(absl::StrCat("data: ", event, "\n\n"));
  }
  for (int i = 0; i < kStreams; ++i) Reply(i)->End();
  for (const auto& client : clients) {
    EXPECT_THAT(client->ReadUntil("0\r\n\r\n"), HasSubstr("data: 4\n\n"));
  }
}

}  // namespace
}  // namespace baton
