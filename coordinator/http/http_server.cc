#include "coordinator/http/http_server.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "boost/asio/as_tuple.hpp"
#include "boost/asio/awaitable.hpp"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/executor_work_guard.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/strand.hpp"
#include "boost/asio/use_awaitable.hpp"
#include "boost/asio/use_future.hpp"
#include "coordinator/http/session.h"

namespace baton {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

// One may be tokenizing a long prompt while the other passes tokens on.
constexpr int kThreads = 2;
// Files that the process needs beside its connections.
constexpr rlim_t kOtherFiles = 256;
// When the process has no file descriptors left, until some may be free again.
constexpr std::chrono::milliseconds kAcceptRetry{100};

// As far as the system lets us. What is beyond waits in the listen queue.
void AllowOpenFiles(int connections) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = static_cast<rlim_t>(connections) + kOtherFiles;
  limit.rlim_cur = std::min(limit.rlim_max, std::max(limit.rlim_cur, wanted));
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::string AddressText(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  if (endpoint.address().is_v6()) return absl::StrCat("[", address, "]:", endpoint.port());
  return absl::StrCat(address, ":", endpoint.port());
}

// On a strand of its own: it is closed from one thread while another may accept.
absl::StatusOr<tcp::acceptor> Listen(asio::io_context& io, const std::string& host, uint16_t port) {
  const auto fail = [&](const error_code& error) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", host, ":", port, ": ", error.message()));
  };
  error_code error;
  const auto found = tcp::resolver(io).resolve(host, absl::StrCat(port), error);
  if (error) return fail(error);
  const tcp::endpoint endpoint = found.begin()->endpoint();
  tcp::acceptor acceptor(asio::make_strand(io));
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return fail(error);
  return acceptor;
}

// Best effort, to a client that is one too many.
void TurnAway(tcp::socket socket, const HttpResponse& refusal) {
  std::string text =
      absl::StrCat("HTTP/1.1 503 Service Unavailable\r\nContent-Type: ", refusal.content_type,
                   "\r\nContent-Length: ", refusal.body.size(), "\r\nConnection: close\r\n");
  for (const auto& [name, value] : refusal.headers)
    absl::StrAppend(&text, name, ": ", value, "\r\n");
  absl::StrAppend(&text, "\r\n", refusal.body);
  [[maybe_unused]] const ssize_t sent =
      send(socket.native_handle(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpServerOptions& options, HttpHandler handler)
      : context_(std::make_shared<SessionContext>(std::move(handler), options)),
        acceptor_(context_->io) {}

  ~Impl() {
    StopAccepting();
    EndSessions(*context_, std::nullopt);
    work_.reset();
    for (std::thread& thread : threads_) thread.join();
  }

  absl::Status Start(const HttpServerOptions& options) {
    AllowOpenFiles(options.limits.connections);
    absl::StatusOr<tcp::acceptor> acceptor = Listen(context_->io, options.host, options.port);
    if (!acceptor.ok()) return acceptor.status();
    acceptor_ = *std::move(acceptor);
    address_ = AddressText(acceptor_.local_endpoint());
    accepting_ = asio::co_spawn(acceptor_.get_executor(), Accept(), asio::use_future);
    for (int i = 0; i < kThreads; ++i) {
      threads_.emplace_back([this] { context_->io.run(); });
    }
    return absl::OkStatus();
  }

  void Drain(std::chrono::milliseconds patience) {
    StopAccepting();
    if (!EndSessions(*context_, patience)) EndSessions(*context_, std::nullopt);
  }

  const std::string& address() const { return address_; }

 private:
  asio::awaitable<void> Accept() {
    while (true) {
      // A strand of its own: the two threads never run one connection at once.
      auto [error, socket] =
          co_await acceptor_.async_accept(asio::make_strand(context_->io), kAwait);
      if (!acceptor_.is_open()) co_return;
      if (error) {
        asio::steady_timer pause(context_->io, kAcceptRetry);
        co_await pause.async_wait(kAwait);
      } else if (IsFull()) {
        TurnAway(std::move(socket), context_->Refuse(503, "too many connections now"));
      } else {
        StartSession(std::move(socket), context_);
      }
    }
  }

  bool IsFull() {
    const std::lock_guard<std::mutex> lock(context_->mutex);
    return static_cast<int>(context_->sessions.size()) >= context_->limits.connections;
  }

  // No session is started after this.
  void StopAccepting() {
    if (!accepting_.valid()) return;
    asio::post(acceptor_.get_executor(), [this] {
      error_code ignored;
      acceptor_.close(ignored);
    });
    accepting_.get();
  }

  const std::shared_ptr<SessionContext> context_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{context_->io.get_executor()};
  tcp::acceptor acceptor_;
  std::future<void> accepting_;  // valid until the coroutine is known to have ended
  std::string address_;
  std::vector<std::thread> threads_;
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpServerOptions& options,
                                                              HttpHandler handler) {
  auto impl = std::make_unique<Impl>(options, std::move(handler));
  const absl::Status status = impl->Start(options);
  if (!status.ok()) return status;
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

const std::string& HttpServer::address() const { return impl_->address(); }
void HttpServer::Drain(std::chrono::milliseconds patience) { impl_->Drain(patience); }

}  // namespace baton
