// An HTTP/1.1 server for answers that take their time: a connection that waits costs a few
// kilobytes and no thread. Knows nothing of what it carries.
#ifndef BATON_COORDINATOR_HTTP_HTTP_SERVER_H_
#define BATON_COORDINATOR_HTTP_HTTP_SERVER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/http/http_message.h"

namespace baton {

// Beyond a limit the connection ends; who sends too much is told so first.
struct HttpLimits {
  size_t header_bytes = 16 << 10;                  // request line and headers: what proxies allow
  size_t body_bytes = 16 << 20;                    // a million tokens of text, as JSON
  size_t unsent_bytes = 4 << 20;                   // of a stream that its client does not read
  int connections = 4096;                          // at once
  std::chrono::milliseconds request_time{30'000};  // from a request's first byte to its last
  std::chrono::milliseconds idle_time{75'000};     // between two requests, as proxies have it
  std::chrono::milliseconds write_time{60'000};    // for a client to take in what was written
  std::chrono::milliseconds ping_time{15'000};     // a silent stream gets a comment so often
};

struct HttpServerOptions {
  std::string host = "127.0.0.1";  // a name or an address
  uint16_t port = 8080;            // 0: a free one
  HttpLimits limits;
  // What a client reads whose request could not be; null: plain text.
  HttpResponse (*refuse)(int status, const std::string& message) = nullptr;
};

class HttpServer {
 public:
  // Listens and answers from now on. Errors name the address: in use, not of this machine, not
  // known.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HttpServerOptions& options,
                                                           HttpHandler handler);
  // Ends every connection. No handler runs afterwards; replies that are still held are dead.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // "127.0.0.1:8080", "[::1]:8080".
  const std::string& address() const;

  // Takes no more connections and no second request on those it has, and waits until all answers
  // under way are written, or `patience` is over: then who does not read is left.
  void Drain(std::chrono::milliseconds patience);

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_HTTP_HTTP_SERVER_H_
