// One answer under way, between who gives it and the connection that writes it.
#ifndef BATON_COORDINATOR_HTTP_EXCHANGE_H_
#define BATON_COORDINATOR_HTTP_EXCHANGE_H_

#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "coordinator/http/http_message.h"

namespace baton {

// Thread-safe. The answering side has the methods of HttpReply, the connection the others.
class Exchange : public HttpReply {
 public:
  // What there is to write now.
  struct Output {
    std::optional<HttpResponse> whole;
    bool streaming = false;  // the answer is a stream of events
    std::string events;
    bool ended = false;  // nothing comes after this
    bool empty() const { return !whole.has_value() && events.empty() && !ended; }
  };

  // `wake` is called when there is output where there was none: from whichever thread answers, and
  // at most once between two calls of Take(). More than `unsent_limit` bytes of events that the
  // client does not read count as its departure.
  Exchange(std::function<void()> wake, size_t unsent_limit)
      : wake_(std::move(wake)), unsent_limit_(unsent_limit) {}

  void Send(HttpResponse response) override;
  void SendEvents(std::string events) override;
  void End() override;
  void OnGone(std::function<void()> gone) override;

  Output Take();
  // The client is not there any more; also to be called when all is written, for nothing then.
  void SetGone();
  bool gone() const override;

 private:
  void Wake();

  const std::function<void()> wake_;
  const size_t unsent_limit_;
  mutable std::mutex mutex_;  // of what follows
  Output output_;
  bool woken_ = false;
  bool ended_ = false;  // the answer is complete, written or not
  bool gone_ = false;
  std::function<void()> on_gone_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_HTTP_EXCHANGE_H_
