#include "coordinator/api/generation.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "coordinator/api/answer_format.h"
#include "coordinator/api/api_error.h"
#include "engine/base/status_macros.h"
#include "engine/chat/thought_splitter.h"
#include "engine/tokenizer/stream_decoder.h"
#include "engine/tokenizer/utf8.h"

namespace baton {
namespace {

constexpr double kMillisecondsPerSecond = 1000;

// What one choice of one prompt has said.
struct ChoiceState {
  ChoiceState(const Tokenizer& tokenizer, const std::vector<std::string>& stop,
              const ThoughtMarks& thought_marks)
      : decoder(tokenizer, stop), splitter(thought_marks) {}

  void Add(const ThoughtSplitter::Parts& parts) {
    piece.thought += parts.thought;
    piece.text += parts.said;
  }
  bool has_text() const { return !piece.thought.empty() || !piece.text.empty(); }

  StreamDecoder decoder;
  ThoughtSplitter splitter;
  AnswerPiece piece;  // not yet sent: of a stream little, else all
  TokenClock clock;
};

void Add(const Usage& one, Usage* all) {
  all->prompt_tokens += one.prompt_tokens;
  all->cached_tokens += one.cached_tokens;
  all->generated_tokens += one.generated_tokens;
  all->drafted_tokens += one.drafted_tokens;
  all->accepted_tokens += one.accepted_tokens;
  all->queue_ms = std::max(all->queue_ms, one.queue_ms);
  all->first_token_ms = std::max(all->first_token_ms, one.first_token_ms);
  all->total_ms = std::max(all->total_ms, one.total_ms);
}

// Thread-safe. Held by the scheduler, through its sinks, until the last of them is done.
class Generation : public std::enable_shared_from_this<Generation> {
 public:
  Generation(GenerationCall call, const ServedModel& model, Scheduler& scheduler,
             ApiMetrics& metrics, std::shared_ptr<HttpReply> reply,
             std::function<void(const absl::Status&)> on_failure)
      : call_(std::move(call)),
        tokenizer_(*model.tokenizer),
        format_(call_, model),
        scheduler_(scheduler),
        metrics_(metrics),
        reply_(std::move(reply)),
        on_failure_(std::move(on_failure)),
        choices_per_prompt_(call_.requests[0].choice_count),
        timeout_ms_(call_.requests[0].timeout_ms),
        prompts_left_(call_.requests.size()) {
    const int count = static_cast<int>(call_.requests.size()) * choices_per_prompt_;
    choices_.reserve(count);
    const bool may_think = call_.kind == CallKind::kChat && model.chat.ok();
    const ThoughtMarks thought_marks = may_think ? model.chat->thought_marks() : ThoughtMarks();
    for (int i = 0; i < count; ++i) {
      choices_.emplace_back(tokenizer_, call_.stop, thought_marks);
      choices_.back().piece.choice = i;
    }
  }

  absl::Status Start() {
    // Held until every request is in: an answer may come before the next one is.
    std::unique_lock<std::mutex> lock(mutex_);
    const absl::Status status = SubmitAll();
    if (!status.ok()) {
      failed_ = true;
      lock.unlock();
      Cancel();
      return status;
    }
    if (call_.stream) {
      std::string opening;
      for (const ChoiceState& choice : choices_) opening += format_.Opening(choice.piece.choice);
      // Also where there is nothing to say yet: the client sees that it waits for an answer.
      reply_->SendEvents(std::move(opening));
    }
    lock.unlock();
    reply_->OnGone([self = shared_from_this()] { self->Cancel(); });
    return absl::OkStatus();
  }

 private:
  // Of one prompt.
  class Sink : public RequestSink {
   public:
    Sink(std::shared_ptr<Generation> generation, size_t prompt)
        : generation_(std::move(generation)), prompt_(prompt) {}
    bool OnToken(int choice, const SampleResult& sample, absl::Span<const float>) override {
      return generation_->OnToken(Index(choice), sample);
    }
    void OnChoiceDone(int choice, FinishReason reason) override {
      generation_->OnChoiceDone(Index(choice), reason);
    }
    void OnDone(const absl::Status& status, const Usage& usage) override {
      generation_->OnDone(status, usage);
    }

   private:
    int Index(int choice) const {
      return static_cast<int>(prompt_) * generation_->choices_per_prompt_ + choice;
    }
    const std::shared_ptr<Generation> generation_;
    const size_t prompt_;
  };

  absl::Status SubmitAll() {
    for (size_t prompt = 0; prompt < call_.requests.size(); ++prompt) {
      ASSIGN_OR_RETURN(const RequestId id,
                       scheduler_.Submit(std::move(call_.requests[prompt]),
                                         std::make_shared<Sink>(shared_from_this(), prompt)));
      const std::lock_guard<std::mutex> lock(ids_mutex_);
      ids_.push_back(id);
    }
    return absl::OkStatus();
  }

  bool OnToken(int index, const SampleResult& sample) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ChoiceState& choice = choices_[index];
    metrics_.OnToken(&choice.clock);
    if (call_.logprobs) choice.piece.samples.push_back(sample);
    choice.Add(choice.splitter.Push(choice.decoder.Push(sample.token)));
    if (call_.stream && choice.has_text()) SendPiece(choice);
    return !choice.decoder.stopped();
  }

  void OnChoiceDone(int index, FinishReason reason) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ChoiceState& choice = choices_[index];
    metrics_.OnChoiceDone(reason);
    choice.Add(choice.splitter.Push(choice.decoder.Flush()));
    choice.Add(choice.splitter.Flush());
    if (call_.stream && choice.has_text()) SendPiece(choice);
    choice.piece.finish = reason;
    // The text is not what was asked for, and must not look like it.
    if (reason == FinishReason::kCancelled) {
      FailLocked(absl::UnavailableError("the server ended before the answer did"));
    } else if (reason == FinishReason::kDeadline) {
      FailLocked(absl::DeadlineExceededError(
          absl::StrCat("the answer was not complete after ", timeout_ms_ / kMillisecondsPerSecond,
                       " seconds, the server's limit (--timeout)")));
    } else if (call_.stream) {
      SendPiece(choice);
    }
  }

  void OnDone(const absl::Status& status, const Usage& usage) {
    std::unique_lock<std::mutex> lock(mutex_);
    Add(usage, &usage_);
    metrics_.OnRequestDone(usage);
    --prompts_left_;
    if (!status.ok()) {
      FailLocked(status);
      lock.unlock();
      Cancel();
      // Others, as a result that is not finite, are this request's alone.
      if (absl::IsUnavailable(status)) on_failure_(status);
      return;
    }
    if (prompts_left_ == 0 && !failed_) EndLocked();
  }

  void SendPiece(ChoiceState& choice) {
    if (failed_) return;
    reply_->SendEvents(format_.Chunk(choice.piece));
    for (const SampleResult& sample : choice.piece.samples) {
      choice.piece.text_offset += static_cast<int64_t>(
          CountUtf8Beginnings(tokenizer_.Piece(sample.token, /*render_special=*/true)));
    }
    choice.piece.thought.clear();
    choice.piece.text.clear();
    choice.piece.samples.clear();
  }

  void EndLocked() {
    if (call_.stream) {
      if (call_.include_usage) reply_->SendEvents(format_.UsageChunk(usage_));
      reply_->SendEvents(AnswerFormat::Done());
      reply_->End();
      return;
    }
    std::vector<AnswerPiece> pieces;
    for (ChoiceState& choice : choices_) pieces.push_back(std::move(choice.piece));
    HttpResponse response;
    response.body = format_.Whole(pieces, usage_);
    reply_->Send(std::move(response));
  }

  void FailLocked(const absl::Status& error) {
    if (std::exchange(failed_, true)) return;
    if (call_.stream) {
      reply_->SendEvents(AnswerFormat::ErrorEvent(error));
      reply_->End();
    } else {
      reply_->Send(ErrorResponse(error));
    }
  }

  void Cancel() {
    const std::lock_guard<std::mutex> lock(ids_mutex_);
    for (const RequestId id : ids_) scheduler_.Cancel(id);
  }

  GenerationCall call_;
  const Tokenizer& tokenizer_;
  const AnswerFormat format_;
  Scheduler& scheduler_;
  ApiMetrics& metrics_;
  const std::shared_ptr<HttpReply> reply_;
  const std::function<void(const absl::Status&)> on_failure_;
  const int choices_per_prompt_;
  const double timeout_ms_;

  std::mutex mutex_;  // of what follows; taken before ids_mutex_
  std::vector<ChoiceState> choices_;
  size_t prompts_left_;
  Usage usage_;
  bool failed_ = false;

  // Apart: a client may be found gone while its answer is being written.
  std::mutex ids_mutex_;
  std::vector<RequestId> ids_;
};

}  // namespace

absl::Status StartGeneration(GenerationCall call, const ServedModel& model, Scheduler& scheduler,
                             ApiMetrics& metrics, std::shared_ptr<HttpReply> reply,
                             std::function<void(const absl::Status&)> on_failure) {
  return std::make_shared<Generation>(std::move(call), model, scheduler, metrics, std::move(reply),
                                      std::move(on_failure))
      ->Start();
}

}  // namespace baton
