#include "coordinator/scheduler/batcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "proto/bounds.h"

namespace baton {
namespace {

// Sequences that have KV blocks at once: all fit in one step.
constexpr size_t kMaxRunningSequences = 1024;
static_assert(kMaxRunningSequences <= kMaxSpansPerStep);
// A prompt may be passed by those that come later and are shorter, until it has waited for this
// many times what it takes by itself.
constexpr double kPatience = 2;
// Steps for which a pace is kept while nothing comes and nothing ends: choosing it takes longer
// than composing a step.
constexpr uint64_t kStepsPerPace = 8;
// Rows by which the speed of prompts is judged.
constexpr int32_t kTypicalChunk = 64;

}  // namespace

// The step being composed, within what may be in one.
class Batcher::StepRoom {
 public:
  StepRoom(int32_t vocabulary_size, int32_t most_rows)
      : vocabulary_size_(vocabulary_size), most_rows_(most_rows) {}

  // False, changing nothing, where it does not fit beside the others; alone anything does.
  bool Add(Span span, OutputSpec output) {
    const int64_t rows = rows_ + span.row_count();
    const int64_t block_ids = block_ids_ + static_cast<int64_t>(span.block_table.size());
    const int64_t output_ids = output_ids_ + CountIds(output);
    const int64_t logit_bytes = logit_bytes_ + CountLogitBytes(output);
    const size_t spans = step_.batch.spans.size() + 1;
    const bool fits = spans <= kMaxSpansPerStep && rows <= most_rows_ &&
                      block_ids <= kMaxBlockIdsPerStep && output_ids <= kMaxOutputIdsPerStep &&
                      logit_bytes <= static_cast<int64_t>(kMaxPayloadBytes);
    if (!fits && spans > 1) return false;
    rows_ = static_cast<int32_t>(rows);
    block_ids_ = block_ids;
    output_ids_ = output_ids;
    logit_bytes_ = logit_bytes;
    step_.batch.spans.push_back(std::move(span));
    step_.outputs.push_back(std::move(output));
    return true;
  }
  int32_t rows() const { return rows_; }
  int32_t rows_left() const { return most_rows_ - rows_; }
  Step& step() { return step_; }

 private:
  // As proto's bound counts them.
  static int64_t CountIds(const OutputSpec& output) {
    return static_cast<int64_t>(output.sample.history.size() + output.sample.logit_bias.size() +
                                output.targets.size()) +
           int64_t{output.sampled_rows} * (1 + std::max(output.sample.top_logprobs, 0));
  }
  int64_t CountLogitBytes(const OutputSpec& output) const {
    if (!output.return_logits) return 0;
    return int64_t{output.sampled_rows} * vocabulary_size_ * static_cast<int64_t>(sizeof(float));
  }

  const int32_t vocabulary_size_;
  const int32_t most_rows_;
  Step step_;
  int32_t rows_ = 0;
  int64_t block_ids_ = 0;
  int64_t output_ids_ = 0;
  int64_t logit_bytes_ = 0;
};

Batcher::Batcher(const SchedulerOptions& options, int parallel_stages)
    : options_(options),
      most_rows_(options.width > 0 ? MostStepRows(options.width) : kMaxBatchRows),
      cache_(options.cache_groups, options.kv_block_counts, options.context_length),
      times_(/*serial=*/parallel_stages == 1, options.weight_rows),
      pacing_(parallel_stages, options.prompt_chunk, options.prompt_slack,
              options.most_steps_in_flight) {}

Batcher::~Batcher() = default;

void Batcher::Add(RequestId id, Request request, std::shared_ptr<RequestSink> sink,
                  double arrived_ms) {
  Running& running = requests_[id];
  running.request = std::move(request);
  running.sink = std::move(sink);
  running.arrived_ms = arrived_ms;
  running.usage.prompt_tokens = static_cast<int64_t>(running.request.prompt.size());
  running.ended.resize(running.request.choice_count);
  running.sequences.resize(running.request.choice_count);
  running.sequences[0] = std::make_unique<Sequence>(SequenceId(id, 0), running.request);
  waiting_[{id, 0}] = running.sequences[0].get();
  if (running.request.timeout_ms > 0) {
    running.deadline_ms = arrived_ms + running.request.timeout_ms;
    next_deadline_ms_ = std::min(next_deadline_ms_, running.deadline_ms);
  }
  ++stats_.requests_submitted;
}

void Batcher::Cancel(RequestId id, double now_ms) {
  EndChoices(id, FinishReason::kCancelled, now_ms);
}

void Batcher::CancelAll(double now_ms) {
  while (!requests_.empty()) Cancel(requests_.begin()->first, now_ms);
}

void Batcher::FailAll(const absl::Status& error, double now_ms) {
  in_flight_.clear();
  while (!requests_.empty()) EndRequest(requests_.begin()->first, error, now_ms);
}

void Batcher::Expire(double now_ms) {
  if (now_ms < next_deadline_ms_) return;
  std::vector<RequestId> expired;
  next_deadline_ms_ = kNever;
  for (const auto& [id, running] : requests_) {
    if (running.deadline_ms <= now_ms) {
      expired.push_back(id);
    } else {
      next_deadline_ms_ = std::min(next_deadline_ms_, running.deadline_ms);
    }
  }
  for (const RequestId id : expired) EndChoices(id, FinishReason::kDeadline, now_ms);
}

// ---- From the queue to KV blocks and back.

// Strictly in order of arrival: who needs many blocks is not passed for ever by those who need few.
bool Batcher::AdmitFirst() {
  if (waiting_.empty() || running_.size() >= kMaxRunningSequences) return false;
  Sequence& sequence = *waiting_.begin()->second;
  // Preempted with a step in flight, which may bring a token.
  if (sequence.steps_in_flight > 0 || !GiveBlocks(sequence)) return false;
  waiting_.erase(waiting_.begin());
  running_[sequence.id] = &sequence;
  prompts_[sequence.id] = &sequence;
  return true;
}

// All that its tokens need, those from the prefix cache first.
bool Batcher::GiveBlocks(Sequence& sequence) {
  const bool is_new = sequence.life == 0 && sequence.id.second == 0;
  // The last token is evaluated anyway: what follows it is wanted. So are rows that are scored.
  int32_t evaluated_from = sequence.token_count() - 1;
  if (sequence.request.score_after >= 0) evaluated_from = sequence.score_from;
  const int32_t findable = sequence.request.cache_prompt || !is_new ? evaluated_from : 0;
  if (!cache_.Admit(sequence.tokens, findable, static_cast<int32_t>(running_.size()),
                    sequence.blocks)) {
    return false;
  }
  sequence.fed = sequence.fed_from = sequence.blocks.known_tokens;
  if (is_new) {
    requests_[sequence.id.first].usage.cached_tokens = sequence.fed;
    stats_.cached_tokens += sequence.fed;
  }
  return true;
}

// The prompt of a request with several choices has been evaluated by the first: the others find all
// of its full blocks in the prefix cache, and evaluate the rest by themselves, since no stage
// copies a part of a block.
void Batcher::Fork(RequestId id, Running& running) {
  for (int choice = 1; choice < running.request.choice_count; ++choice) {
    auto sequence = std::make_unique<Sequence>(SequenceId(id, choice), running.request);
    waiting_[sequence->id] = sequence.get();
    running.sequences[choice] = std::move(sequence);
  }
}

// Blocks for all tokens of a sequence that runs, at the cost of younger ones. Those that the step
// being composed has already stay: their span names their blocks.
bool Batcher::MakeRoom(Sequence& sequence) {
  while (!cache_.Extend(sequence.fed, sequence.token_count(), sequence.blocks)) {
    Sequence* youngest = nullptr;
    for (auto it = running_.rbegin(); it != running_.rend() && it->first > sequence.id; ++it) {
      if (it->second->last_step == next_step_) continue;
      youngest = it->second;
      break;
    }
    if (youngest == nullptr) return false;
    Preempt(*youngest);
  }
  return true;
}

void Batcher::Preempt(Sequence& sequence) {
  cache_.Release(sequence.blocks);
  sequence.fed = 0;
  sequence.answering = false;
  ++sequence.life;
  running_.erase(sequence.id);
  prompts_.erase(sequence.id);
  std::erase(ready_, &sequence);
  waiting_[sequence.id] = &sequence;
  ++stats_.preemptions;
}

// ---- The next step.

const Pace& Batcher::ChoosePace() {
  const int32_t answers = static_cast<int32_t>(running_.size() - prompts_.size());
  if (answers > 0 && answers == paced_answers_ && next_step_ < pace_until_) return pace_;
  PromptTokens prompts;
  for (const auto& [id, sequence] : prompts_) {
    prompts.all += sequence->token_count() - sequence->fed_from;
    prompts.left += sequence->unfed_count();
  }
  pace_ = pacing_.Choose(times_, answers, prompts);
  paced_answers_ = answers;
  pace_until_ = next_step_ + kStepsPerPace;
  return pace_;
}

std::optional<Batcher::Step> Batcher::Compose(double now_ms) {
  while (AdmitFirst()) {
  }
  const Pace& pace = ChoosePace();
  if (in_flight_.size() >= static_cast<size_t>(pace.steps_in_flight)) return std::nullopt;
  StepRoom room(options_.vocabulary_size, most_rows_);
  next_ = InFlightStep();
  const auto has_answers = [](const InFlightStep& step) { return step.record.decode_rows > 0; };
  const int64_t groups = std::count_if(in_flight_.begin(), in_flight_.end(), has_answers);
  if (groups < pace.decode_groups) TakeAnswers(pace, room);
  // Beside answers, steps of prompts alone go out one by one: many at once would queue up before
  // the first stage, and the answers behind them.
  const bool answers_run = running_.size() > prompts_.size();
  if (room.rows() > 0 || !answers_run || !std::exchange(prompt_step_sent_, true)) {
    TakePrompts(pace, room);
  }
  if (room.rows() == 0) return std::nullopt;
  next_.alone = in_flight_.empty();
  next_.record.step = next_step_;
  next_.record.submitted_ms = now_ms;
  for (const InFlightSpan& span : next_.spans) {
    Running& running = requests_[span.sequence.first];
    if (!std::exchange(running.started, true)) running.usage.queue_ms = now_ms - running.arrived_ms;
  }
  in_flight_.push_back(std::move(next_));
  room.step().batch.step = next_step_++;
  return std::move(room.step());
}

// Groups differ by one answer at most, as soon as each has gone round.
int32_t Batcher::NextGroupRows(const Pace& pace) const {
  const auto is_larger = [&pace](const InFlightStep& step) {
    const auto decodes = [](const InFlightSpan& span) { return span.decodes; };
    return std::count_if(step.spans.begin(), step.spans.end(), decodes) >= pace.group_rows;
  };
  const int64_t larger = std::count_if(in_flight_.begin(), in_flight_.end(), is_larger);
  return larger < pace.larger_groups ? pace.group_rows : pace.group_rows - 1;
}

// Those that are left over keep their places.
void Batcher::TakeAnswers(const Pace& pace, StepRoom& room) {
  const int32_t most = NextGroupRows(pace);
  std::deque<Sequence*> ready;
  ready.swap(ready_);
  int32_t taken = 0;
  for (Sequence* sequence : ready) {
    // One before it may have preempted it.
    if (running_.count(sequence->id) == 0) continue;
    if (taken < most && TakeAnswer(*sequence, pace, room)) {
      ++taken;
    } else {
      ready_.push_back(sequence);
    }
  }
}

bool Batcher::TakeAnswer(Sequence& sequence, const Pace& pace, StepRoom& room) {
  std::vector<int32_t> draft = DraftFor(sequence, pace, room.rows());
  const int32_t end = sequence.token_count() + static_cast<int32_t>(draft.size());
  // A guess is not worth what another sequence has.
  if (!draft.empty() && !cache_.Extend(sequence.fed, end, sequence.blocks)) draft.clear();
  return MakeRoom(sequence) && Take(sequence, 1, std::move(draft), room);
}

std::vector<int32_t> Batcher::DraftFor(Sequence& sequence, const Pace& pace, int32_t rows_taken) {
  // The step gives one token more than it has drafts.
  int64_t most = std::min<int64_t>(
      {options_.context_length - sequence.token_count(), cache_.most_rows() - 1, most_rows_ - 1});
  if (sequence.request.max_tokens > 0) {
    most = std::min<int64_t>(most, sequence.request.max_tokens - sequence.answer_count() - 1);
  }
  return sequence.drafts.Draft(sequence.tokens, static_cast<int32_t>(most), times_,
                               std::max(rows_taken, pace.group_rows - 1));
}

void Batcher::TakePrompts(const Pace& pace, StepRoom& room) {
  const double share = std::max<double>(pace.step_rows - room.rows(), kMinPromptRows) + owed_rows_;
  int32_t rows_left = static_cast<int32_t>(share);
  owed_rows_ = share - rows_left;
  if (options_.prompt_chunk > 0) rows_left = std::min(rows_left, options_.prompt_chunk);
  rows_left = std::min(rows_left, room.rows_left());
  for (Sequence* sequence : PromptsInOrder()) {
    if (rows_left == 0) break;
    // One before it may have preempted it; or it waits for blocks of elder ones, which may come
    // after it.
    if (running_.count(sequence->id) == 0 || !MakeRoom(*sequence)) continue;
    const int32_t count = std::min({sequence->unfed_count(), rows_left, cache_.most_rows()});
    if (!Take(*sequence, count, {}, room)) break;
    rows_left -= count;
  }
}

// Short ones first, so that they do not wait for long ones; but those that have waited long, too.
std::vector<Sequence*> Batcher::PromptsInOrder() {
  const double row_ms = times_.SlowestStage(kTypicalChunk) / kTypicalChunk;
  std::vector<std::pair<double, Sequence*>> prompts;
  for (const auto& [id, sequence] : prompts_) {
    if (sequence->unfed_count() == 0) continue;
    const double due_ms =
        requests_[id.first].arrived_ms + kPatience * row_ms * sequence->unfed_count();
    prompts.emplace_back(due_ms, sequence);
  }
  std::stable_sort(prompts.begin(), prompts.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Sequence*> ordered;
  for (const auto& [due_ms, sequence] : prompts) ordered.push_back(sequence);
  return ordered;
}

bool Batcher::Take(Sequence& sequence, int32_t count, std::vector<int32_t> draft, StepRoom& room) {
  const bool decodes = sequence.answering;
  Span span = sequence.MakeSpan(count, draft);
  const int32_t rows = span.row_count();
  span.block_table = cache_.Table(sequence.blocks, span.first_position, rows);
  const int32_t draft_count = static_cast<int32_t>(draft.size());
  if (!room.Add(std::move(span), sequence.MakeOutput(count, draft_count))) return false;
  sequence.fed += count;
  sequence.last_step = next_step_;
  ++sequence.steps_in_flight;
  (decodes ? next_.record.decode_rows : next_.record.prompt_rows) += rows;
  next_.spans.push_back({.sequence = sequence.id,
                         .life = sequence.life,
                         .end = sequence.fed,
                         .is_last = sequence.unfed_count() == 0,
                         .decodes = decodes,
                         .draft = std::move(draft)});
  return true;
}

void Batcher::Withdraw(const absl::Status& error, double now_ms) {
  const InFlightStep step = std::move(in_flight_.back());
  in_flight_.pop_back();
  --next_step_;
  for (const InFlightSpan& span : step.spans) EndRequest(span.sequence.first, error, now_ms);
}

// ---- What came back.

void Batcher::CountStep(const InFlightStep& step, const StepResult& result) {
  const int32_t rows = step.record.decode_rows + step.record.prompt_rows;
  times_.Add(rows, result.stages, step.record.returned_ms - step.record.submitted_ms, step.alone);
  ++stats_.steps;
  stats_.rows += rows;
  stats_.prompt_tokens += step.record.prompt_rows;
  stats_.stage_busy_ms.resize(result.stages.size());
  for (size_t i = 0; i < result.stages.size(); ++i) {
    stats_.stage_busy_ms[i] += result.stages[i].compute_ms;
  }
}

void Batcher::Finish(const absl::StatusOr<StepResult>& result, double now_ms) {
  CHECK(!in_flight_.empty());
  prompt_step_sent_ = false;
  InFlightStep step = std::move(in_flight_.front());
  in_flight_.pop_front();
  absl::Status status = result.status();
  if (status.ok() && result->outputs.size() != step.spans.size()) {
    status = absl::InternalError(absl::StrCat("step ", step.record.step, " came back with ",
                                              result->outputs.size(), " outputs, expected ",
                                              step.spans.size()));
  }
  if (!status.ok()) {
    for (const InFlightSpan& span : step.spans) EndRequest(span.sequence.first, status, now_ms);
    return;
  }
  step.record.returned_ms = now_ms;
  step.record.stages = result->stages;
  CountStep(step, *result);
  // Before the requests' ends, so that whoever waits for one finds all its steps counted.
  if (options_.on_step) options_.on_step(step.record);
  for (size_t i = 0; i < step.spans.size(); ++i) {
    FinishSpan(step.spans[i], result->outputs[i], *result, now_ms);
  }
}

void Batcher::FinishSpan(const InFlightSpan& span, const SpanOutput& output,
                         const StepResult& result, double now_ms) {
  const auto found = requests_.find(span.sequence.first);
  if (found == requests_.end()) return;
  Running& running = found->second;
  if (running.sequences[span.sequence.second] == nullptr) return;
  Sequence& sequence = *running.sequences[span.sequence.second];
  --sequence.steps_in_flight;
  if (!output.status.ok()) return EndRequest(span.sequence.first, output.status, now_ms);
  if (span.life == sequence.life) {
    cache_.Remember(absl::MakeConstSpan(sequence.tokens).first(span.end), sequence.blocks);
  }
  if (span.decodes && std::exchange(running.counted_step, result.step) != result.step) {
    running.usage.decode_stage_ms.resize(result.stages.size());
    for (size_t i = 0; i < result.stages.size(); ++i) {
      running.usage.decode_stage_ms[i] += result.stages[i].compute_ms;
    }
    ++running.usage.decode_steps;
  }
  if (!output.scores.empty()) {
    sequence.score_from += static_cast<int32_t>(output.scores.size());
    running.sink->OnScores(output.scores);
  }
  if (!span.is_last) return;
  if (running.request.max_tokens == 0) {
    return EndChoices(span.sequence.first, FinishReason::kLength, now_ms);
  }
  if (span.sequence.second == 0 && sequence.answer_count() == 0) {
    Fork(span.sequence.first, running);
  }
  AcceptSamples(running, sequence, span, output, now_ms);
}

// A drafted token is right where the row before it gives the same; the first that is not is
// replaced by what that row gave, and the rows behind it count for nothing.
void Batcher::AcceptSamples(Running& running, Sequence& sequence, const InFlightSpan& span,
                            const SpanOutput& output, double now_ms) {
  const int32_t draft_count = static_cast<int32_t>(span.draft.size());
  CHECK(static_cast<int32_t>(output.samples.size()) == draft_count + 1);
  const size_t logit_count = output.logits.size() / output.samples.size();
  std::optional<FinishReason> end;
  int32_t accepted = 0;
  for (int32_t i = 0; i <= draft_count; ++i) {
    const auto logits = absl::MakeConstSpan(output.logits).subspan(i * logit_count, logit_count);
    end = AcceptToken(running, sequence, output.samples[i], logits, now_ms);
    if (end.has_value() || i == draft_count || output.samples[i].token != span.draft[i]) break;
    ++accepted;
  }
  if (draft_count > 0) sequence.drafts.Learn(draft_count, accepted);
  running.usage.drafted_tokens += draft_count;
  running.usage.accepted_tokens += accepted;
  stats_.drafted_tokens += draft_count;
  stats_.accepted_tokens += accepted;
  const bool has_blocks = span.life == sequence.life;
  if (has_blocks) {
    sequence.fed = span.end + accepted;
    cache_.Remember(absl::MakeConstSpan(sequence.tokens).first(sequence.fed), sequence.blocks);
  }
  if (end.has_value()) {
    EndSequence(sequence.id, *end, now_ms);
  } else if (has_blocks) {
    sequence.answering = true;
    prompts_.erase(sequence.id);
    ready_.push_back(&sequence);
  }
}

std::optional<FinishReason> Batcher::AcceptToken(Running& running, Sequence& sequence,
                                                 const SampleResult& sample,
                                                 absl::Span<const float> logits, double now_ms) {
  const Request& request = running.request;
  if (running.usage.first_token_ms == 0) running.usage.first_token_ms = now_ms - running.arrived_ms;
  if (request.is_end && request.is_end(sample.token)) return FinishReason::kStop;
  sequence.tokens.push_back(sample.token);
  ++running.usage.generated_tokens;
  ++stats_.generated_tokens;
  if (!running.sink->OnToken(sequence.id.second, sample, logits)) return FinishReason::kStop;
  // What follows the last position of the context is still said.
  const bool is_full = sequence.token_count() > options_.context_length;
  if (is_full || sequence.answer_count() == request.max_tokens) return FinishReason::kLength;
  return std::nullopt;
}

// ---- The end.

void Batcher::EndSequence(SequenceId id, FinishReason reason, double now_ms) {
  Running& running = requests_.at(id.first);
  running.ended[id.second] = true;
  if (running.sequences[id.second] != nullptr) Forget(std::move(running.sequences[id.second]));
  running.sink->OnChoiceDone(id.second, reason);
  if (std::find(running.ended.begin(), running.ended.end(), false) != running.ended.end()) return;
  EndRequest(id.first, absl::OkStatus(), now_ms);
}

void Batcher::EndChoices(RequestId id, FinishReason reason, double now_ms) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  const std::vector<bool> ended = found->second.ended;
  for (size_t choice = 0; choice < ended.size(); ++choice) {
    if (!ended[choice]) EndSequence({id, static_cast<int>(choice)}, reason, now_ms);
  }
}

void Batcher::EndRequest(RequestId id, const absl::Status& status, double now_ms) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  for (std::unique_ptr<Sequence>& sequence : found->second.sequences) {
    if (sequence != nullptr) Forget(std::move(sequence));
  }
  found->second.usage.total_ms = now_ms - found->second.arrived_ms;
  ++stats_.requests_finished;
  const std::shared_ptr<RequestSink> sink = std::move(found->second.sink);
  const Usage usage = std::move(found->second.usage);
  requests_.erase(found);
  sink->OnDone(status, usage);
}

// Its blocks are free at once; kv_blocks.h says why that harms nobody.
void Batcher::Forget(std::unique_ptr<Sequence> sequence) {
  cache_.Release(sequence->blocks);
  waiting_.erase(sequence->id);
  running_.erase(sequence->id);
  prompts_.erase(sequence->id);
  std::erase(ready_, sequence.get());
}

size_t Batcher::queued_requests() const {
  size_t count = 0;
  RequestId last = 0;
  for (const auto& [id, sequence] : waiting_) {
    count += count == 0 || id.first != last;
    last = id.first;
  }
  return count;
}

const SchedulerStats& Batcher::stats(double now_ms) {
  stats_.queued_requests = static_cast<int64_t>(queued_requests());
  stats_.running_requests = static_cast<int64_t>(requests_.size()) - stats_.queued_requests;
  stats_.steps_in_flight = static_cast<int64_t>(in_flight_.size());
  stats_.kv_blocks = cache_.block_count();
  stats_.kv_blocks_free = cache_.free_count();
  stats_.kv_blocks_cached = cache_.cached_count();
  stats_.uptime_ms = now_ms;
  return stats_;
}

}  // namespace baton
