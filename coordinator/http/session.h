// One connection: its requests one after the other, each with its answer.
#ifndef BATON_COORDINATOR_HTTP_SESSION_H_
#define BATON_COORDINATOR_HTTP_SESSION_H_

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "coordinator/http/http_message.h"
#include "coordinator/http/http_server.h"

namespace baton {

class Session;

// What the connections of a server share. Thread-safe.
struct SessionContext {
  SessionContext(HttpHandler http_handler, const HttpServerOptions& options)
      : handler(std::move(http_handler)), limits(options.limits), refuse_(options.refuse) {}

  // What a client reads whose request is not handled.
  HttpResponse Refuse(int status, const std::string& message) const;

  const HttpHandler handler;
  const HttpLimits limits;
  boost::asio::io_context io;

  std::mutex mutex;  // of what follows
  std::condition_variable session_ended;
  std::set<Session*> sessions;
  bool draining = false;  // connections end after the answer under way

 private:
  HttpResponse (*const refuse_)(int status, const std::string& message);
};

// Serves `socket` until either side ends it, on the threads that run context->io. Its executor is a
// strand of that.
void StartSession(boost::asio::ip::tcp::socket socket, std::shared_ptr<SessionContext> context);

// Waits until all connections have ended: with `patience` each after the answer under way, and
// false where that took longer; without, at once.
bool EndSessions(SessionContext& context, std::optional<std::chrono::milliseconds> patience);

}  // namespace baton

#endif  // BATON_COORDINATOR_HTTP_SESSION_H_
