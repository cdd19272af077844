// Requests and answers of HTTP, as those who answer see them: no sockets.
#ifndef BATON_COORDINATOR_HTTP_HTTP_MESSAGE_H_
#define BATON_COORDINATOR_HTTP_HTTP_MESSAGE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace baton {

struct HttpRequest {
  std::string method;  // "GET", which HEAD is too, "POST" ...
  std::string path;    // of the target, without its query
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // further ones
};

// Where the answer to one request goes: a whole response, or a stream of server-sent events.
// Thread-safe; nothing waits. What is sent after the client has gone is dropped. Every request must
// be answered to its end: its connection waits for that.
class HttpReply {
 public:
  virtual ~HttpReply() = default;

  // The whole answer, once, instead of all that follows.
  virtual void Send(HttpResponse response) = 0;

  // The head of an event stream, and whole events: their fields and the blank line behind each.
  virtual void SendEvents(std::string events) = 0;
  // The stream's end.
  virtual void End() = 0;

  // The client is not there any more: an answer is of no use.
  virtual bool gone() const = 0;

  // `gone` is called, from any thread, if the client goes away or stops reading before the answer's
  // end: at once where it has. To be set once.
  virtual void OnGone(std::function<void()> gone) = 0;
};

// Answers a request, at once or later. Called from a few threads at a time; what takes longer than
// a moment belongs elsewhere.
using HttpHandler = std::function<void(HttpRequest request, std::shared_ptr<HttpReply> reply)>;

}  // namespace baton

#endif  // BATON_COORDINATOR_HTTP_HTTP_MESSAGE_H_
