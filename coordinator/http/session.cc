#include "coordinator/http/session.h"

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "boost/asio/as_tuple.hpp"
#include "boost/asio/awaitable.hpp"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/detached.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/use_awaitable.hpp"
#include "boost/asio/write.hpp"
#include "boost/beast/core.hpp"
#include "boost/beast/http.hpp"
#include "coordinator/http/exchange.h"

namespace baton {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr char kServerName[] = "baton";
constexpr char kPing[] = ": ping\n\n";
// Of a request, at a time.
constexpr size_t kReadBytes = 16 << 10;
// For a client to see that it was refused, and to stop.
constexpr std::chrono::seconds kDiscardTime{2};

// What an awaited operation gives: its error first, and no exception.
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

using Parser = http::request_parser<http::string_body>;

// What a request says of its answer's form.
struct ReplyForm {
  unsigned version = 11;    // of HTTP: 10 or 11
  bool keep_alive = false;  // the connection goes on after it
  bool head_only = false;   // the answer to GET without its body
  bool has_chunks() const { return version >= 11; }
};

// The answer to a request that could not be read to its end; none where nobody can read it.
std::optional<HttpResponse> RefusalOf(const error_code& error, const SessionContext& context) {
  const HttpLimits& limits = context.limits;
  if (error == http::error::header_limit) {
    return context.Refuse(
        431, absl::StrCat("the request's headers are longer than ", limits.header_bytes, " bytes"));
  }
  if (error == http::error::body_limit) {
    return context.Refuse(
        413, absl::StrCat("the request's body is longer than ", limits.body_bytes, " bytes"));
  }
  // A client that goes away in the middle or takes too long, a connection that breaks.
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error.category() != http::make_error_code(http::error::bad_method).category()) {
    return std::nullopt;
  }
  return context.Refuse(400, absl::StrCat("not a request of HTTP/1.1: ", error.message()));
}

}  // namespace

HttpResponse SessionContext::Refuse(int status, const std::string& message) const {
  if (refuse_ != nullptr) return refuse_(status, message);
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain";
  response.body = absl::StrCat("error: ", message, "\n");
  return response;
}

// All of it runs on one strand. Kept alive by its coroutine.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(asio::ip::tcp::socket socket, std::shared_ptr<SessionContext> context)
      : context_(std::move(context)), stream_(std::move(socket)), wake_(stream_.get_executor()) {}

  ~Session() {
    const std::lock_guard<std::mutex> lock(context_->mutex);
    context_->sessions.erase(this);
    context_->session_ended.notify_all();
  }

  void Start() {
    {
      const std::lock_guard<std::mutex> lock(context_->mutex);
      context_->sessions.insert(this);
    }
    asio::co_spawn(
        stream_.get_executor(), [self = shared_from_this()] { return self->Run(); },
        asio::detached);
  }

  // From any thread, under the context's mutex.
  void EndSoon(bool at_once) {
    asio::post(stream_.get_executor(), [weak = weak_from_this(), at_once] {
      const std::shared_ptr<Session> self = weak.lock();
      if (self == nullptr || (self->exchange_ != nullptr && !at_once)) return;
      if (self->exchange_ != nullptr) self->exchange_->SetGone();
      self->Close();
    });
  }

 private:
  asio::awaitable<void> Run() {
    error_code ignored;
    stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    while (co_await ServeOne()) {
    }
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    Close();
  }

  void Close() {
    error_code ignored;
    stream_.socket().close(ignored);
    wake_.cancel();
  }

  bool IsDraining() {
    const std::lock_guard<std::mutex> lock(context_->mutex);
    return context_->draining;
  }

  // One request and its answer. False when the connection is to end.
  asio::awaitable<bool> ServeOne() {
    if (IsDraining() || !co_await AwaitRequest()) co_return false;
    Parser parser;
    parser.header_limit(static_cast<uint32_t>(context_->limits.header_bytes));
    parser.body_limit(context_->limits.body_bytes);
    if (const error_code error = co_await Read(parser)) {
      std::optional<HttpResponse> refusal = RefusalOf(error, *context_);
      if (refusal.has_value() && co_await Write(*std::move(refusal), ReplyForm())) {
        co_await DiscardRest();
      }
      co_return false;
    }
    http::request<http::string_body> message = parser.release();
    ReplyForm form;
    form.version = message.version();
    form.keep_alive = message.keep_alive();
    form.head_only = message.method() == http::verb::head;
    HttpRequest request;
    request.method = form.head_only ? "GET" : std::string(message.method_string());
    request.path = std::string(message.target().substr(0, message.target().find('?')));
    request.body = std::move(message.body());
    const bool served = co_await Answer(std::move(request), form);
    co_return served&& form.keep_alive;
  }

  // What a client still sends would make closing a reset, which takes the refusal from it.
  asio::awaitable<void> DiscardRest() {
    error_code ignored;
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    stream_.expires_after(kDiscardTime);
    while (true) {
      buffer_.clear();
      const auto [error, count] =
          co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kAwait);
      if (error) co_return;
    }
  }

  // Until the first byte of one is there. Empty lines before it are none of it (RFC 9112, 2.2).
  asio::awaitable<bool> AwaitRequest() {
    stream_.expires_after(context_->limits.idle_time);
    while (true) {
      SkipEmptyLines();
      if (buffer_.size() > 0) co_return true;
      const auto [error, count] =
          co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kAwait);
      buffer_.commit(count);
      if (error) co_return false;
    }
  }

  void SkipEmptyLines() {
    const char* const bytes = static_cast<const char*>(buffer_.cdata().data());
    size_t count = 0;
    while (count < buffer_.size() && (bytes[count] == '\r' || bytes[count] == '\n')) ++count;
    buffer_.consume(count);
  }

  asio::awaitable<error_code> Read(Parser& parser) {
    stream_.expires_after(context_->limits.request_time);
    const auto [header_error, header_count] =
        co_await http::async_read_header(stream_, buffer_, parser, kAwait);
    if (header_error) co_return header_error;
    if (parser.get().version() >= 11 &&
        beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      static constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";
      const auto [error, count] = co_await asio::async_write(
          stream_, asio::buffer(kContinue, sizeof(kContinue) - 1), kAwait);
      if (error) co_return error;
    }
    const auto [error, count] = co_await http::async_read(stream_, buffer_, parser, kAwait);
    co_return error;
  }

  // False when the connection is of no more use.
  asio::awaitable<bool> Answer(HttpRequest request, ReplyForm form) {
    stream_.expires_never();
    // A reply may outlive its connection, and the server: it holds on to neither.
    const auto wake = [weak = weak_from_this()] {
      const std::shared_ptr<Session> self = weak.lock();
      if (self == nullptr) return;
      asio::post(self->stream_.get_executor(), [weak] {
        if (const std::shared_ptr<Session> session = weak.lock()) session->wake_.cancel();
      });
    };
    exchange_ = std::make_shared<Exchange>(wake, context_->limits.unsent_bytes);
    WatchForEnd();
    CallHandler(std::move(request));
    const bool complete = co_await WriteAnswer(form);
    exchange_->SetGone();
    exchange_ = nullptr;
    error_code ignored;
    if (stream_.socket().is_open()) stream_.socket().cancel(ignored);  // the watch
    co_return complete;
  }

  // What a library throws must not cost the connection its answer.
  void CallHandler(HttpRequest request) {
    try {
      context_->handler(std::move(request), exchange_);
    } catch (const std::exception& error) {
      exchange_->Send(context_->Refuse(500, absl::StrCat("it could not be done: ", error.what())));
    }
  }

  // Nobody reads while an answer is under way, so a client's going away is looked for.
  void WatchForEnd() {
    const auto on_readable = [weak = weak_from_this(), exchange = exchange_](error_code error) {
      const std::shared_ptr<Session> self = weak.lock();
      if (error || self == nullptr || self->exchange_ != exchange) return;
      // The next request may be there already: it waits until there is so much of it that the end
      // behind it can't be seen.
      if (self->buffer_.size() >= kReadBytes) return;
      const auto room = self->buffer_.prepare(kReadBytes);
      const ssize_t count =
          recv(self->stream_.socket().native_handle(), room.data(), room.size(), MSG_DONTWAIT);
      if (count > 0) self->buffer_.commit(count);
      // Woken by what was read before.
      if (count > 0 || (count < 0 && errno == EAGAIN)) return self->WatchForEnd();
      exchange->SetGone();
      self->wake_.cancel();
    };
    stream_.socket().async_wait(asio::ip::tcp::socket::wait_read, on_readable);
  }

  asio::awaitable<bool> WriteAnswer(ReplyForm form) {
    bool streaming = false;
    while (true) {
      Exchange::Output output = exchange_->Take();
      if (exchange_->gone()) co_return false;
      if (output.whole.has_value()) co_return co_await Write(*std::move(output.whole), form);
      const bool begins = output.streaming && !streaming;
      if (output.empty() && !begins) {
        wake_.expires_after(context_->limits.ping_time);
        const auto [cancelled] = co_await wake_.async_wait(kAwait);
        if (cancelled || !streaming) continue;
        output.events = kPing;
      }
      if (!streaming && !co_await WriteStreamHead(form)) co_return false;
      streaming = true;
      if (!co_await WriteEvents(output, form)) co_return false;
      // Where there are no chunks, the end of the connection is that of the answer.
      if (output.ended) co_return form.has_chunks();
    }
  }

  template <class Body>
  http::response<Body> Head(int status, ReplyForm form) {
    http::response<Body> message(static_cast<http::status>(status), form.version);
    message.set(http::field::server, kServerName);
    message.keep_alive(form.keep_alive && !IsDraining());
    return message;
  }

  asio::awaitable<bool> Write(HttpResponse response, ReplyForm form) {
    auto message = Head<http::string_body>(response.status, form);
    message.set(http::field::content_type, response.content_type);
    for (const auto& [name, value] : response.headers) message.set(name, value);
    message.body() = std::move(response.body);
    message.prepare_payload();
    stream_.expires_after(context_->limits.write_time);
    if (form.head_only) {
      http::response_serializer<http::string_body> serializer(message);
      const auto [error, count] = co_await http::async_write_header(stream_, serializer, kAwait);
      co_return !error;
    }
    const auto [error, count] = co_await http::async_write(stream_, message, kAwait);
    co_return !error;
  }

  asio::awaitable<bool> WriteStreamHead(ReplyForm form) {
    form.keep_alive = form.keep_alive && form.has_chunks();
    auto message = Head<http::empty_body>(200, form);
    message.set(http::field::content_type, "text/event-stream");
    message.set(http::field::cache_control, "no-cache");
    message.set("X-Accel-Buffering", "no");
    message.chunked(form.has_chunks());
    http::response_serializer<http::empty_body> serializer(message);
    stream_.expires_after(context_->limits.write_time);
    const auto [error, count] = co_await http::async_write_header(stream_, serializer, kAwait);
    co_return !error;
  }

  asio::awaitable<bool> WriteEvents(const Exchange::Output& output, ReplyForm form) {
    std::string bytes = output.events;
    if (form.has_chunks()) {
      if (!bytes.empty()) {
        bytes = absl::StrCat(absl::Hex(bytes.size()), "\r\n", output.events, "\r\n");
      }
      if (output.ended) bytes += "0\r\n\r\n";
    }
    stream_.expires_after(context_->limits.write_time);
    const auto [error, count] = co_await asio::async_write(stream_, asio::buffer(bytes), kAwait);
    co_return !error;
  }

  const std::shared_ptr<SessionContext> context_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;           // what was read beyond the last request
  asio::steady_timer wake_;             // cancelled when the answer has more to write
  std::shared_ptr<Exchange> exchange_;  // the answer under way
};

void StartSession(asio::ip::tcp::socket socket, std::shared_ptr<SessionContext> context) {
  std::make_shared<Session>(std::move(socket), std::move(context))->Start();
}

bool EndSessions(SessionContext& context, std::optional<std::chrono::milliseconds> patience) {
  std::unique_lock<std::mutex> lock(context.mutex);
  context.draining = true;
  for (Session* session : context.sessions) session->EndSoon(/*at_once=*/!patience.has_value());
  const auto all_ended = [&context] { return context.sessions.empty(); };
  if (patience.has_value()) return context.session_ended.wait_for(lock, *patience, all_ended);
  context.session_ended.wait(lock, all_ended);
  return true;
}

}  // namespace baton
