#include "proto/convert.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/status_macros.h"
#include "proto/bounds.h"
#include "proto/frame.h"
#include "proto/wire.pb.h"

namespace baton {
namespace {

// Repeats `what` only when it is wrong: this runs for every row of every step.
absl::Status CheckRange(const char* what, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is ", value, ", expected ", low, " to ", high));
}

template <typename Ids>
absl::Status CheckIds(const char* what, const Ids& ids, int64_t limit) {
  for (const int32_t id : ids) RETURN_IF_ERROR(CheckRange(what, id, 0, limit - 1));
  return absl::OkStatus();
}

template <typename Repeated, typename T>
void Append(const std::vector<T>& from, Repeated* to) {
  to->Add(from.begin(), from.end());
}

template <typename T, typename Repeated>
std::vector<T> ToVector(const Repeated& from) {
  return std::vector<T>(from.begin(), from.end());
}

absl::Status CheckSpan(const Span& span, const StageConfig& stage) {
  RETURN_IF_ERROR(CheckRange("rows of a span", span.row_count(), 1, kMaxBatchRows));
  RETURN_IF_ERROR(CheckRange("first position", span.first_position, 0, stage.context_length - 1));
  RETURN_IF_ERROR(CheckRange("last position", int64_t{span.first_position} + span.row_count() - 1,
                             0, stage.context_length - 1));
  RETURN_IF_ERROR(CheckIds("token id", span.tokens, stage.vocabulary_size));
  // Which group an id is of, and whether one is missing, the stage knows: it has the model.
  int32_t most_blocks = 0;
  for (const int32_t count : stage.kv_block_counts) most_blocks = std::max(most_blocks, count);
  return CheckIds("KV block id", span.block_table, most_blocks);
}

constexpr int kIntervalsPerStage = 3;

// A stage that nobody used for longer than the bound has waited so long; it says the most it may.
double AtMostTheBound(double ms) { return std::min(ms, kMaxIntervalMs); }

void TimingsToWire(const std::vector<StageTiming>& stages,
                   google::protobuf::RepeatedField<double>* out) {
  for (const StageTiming& stage : stages) {
    for (const double ms : {stage.compute_ms, stage.input_wait_ms, stage.send_wait_ms}) {
      out->Add(AtMostTheBound(ms));
    }
  }
}

absl::Status CheckInterval(double ms) {
  if (ms >= 0 && ms <= kMaxIntervalMs) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a stage's time is ", ms, " ms, expected 0 to ", kMaxIntervalMs));
}

absl::StatusOr<std::vector<StageTiming>> TimingsFromWire(
    const google::protobuf::RepeatedField<double>& wire, int expected) {
  const int count = expected * kIntervalsPerStage;
  RETURN_IF_ERROR(CheckRange("stage timings", wire.size(), count, count));
  for (const double ms : wire) RETURN_IF_ERROR(CheckInterval(ms));
  std::vector<StageTiming> stages(expected);
  for (int i = 0; i < expected; ++i) {
    const double* ms = wire.data() + i * kIntervalsPerStage;
    stages[i] = {.compute_ms = ms[0], .input_wait_ms = ms[1], .send_wait_ms = ms[2]};
  }
  return stages;
}

void FailureToWire(const absl::Status& error, int stage, wire::StepFailure* out) {
  *out->mutable_failure() = ToWire(error);
  out->set_stage(stage);
}

absl::Status FailureFromWire(const wire::StepFailure& wire, int stage_limit, int* stage) {
  RETURN_IF_ERROR(CheckRange("failed stage", wire.stage(), 0, stage_limit - 1));
  *stage = static_cast<int>(wire.stage());
  return absl::OkStatus();
}

void SampleToWire(const SampleSpec& spec, wire::SampleSpec* out) {
  const SamplingParams& params = spec.params;
  out->set_temperature(params.temperature);
  out->set_top_k(params.top_k);
  out->set_top_p(params.top_p);
  out->set_min_p(params.min_p);
  out->set_repeat_last_n(params.repeat_last_n);
  out->set_repeat_penalty(params.repeat_penalty);
  out->set_frequency_penalty(params.frequency_penalty);
  out->set_presence_penalty(params.presence_penalty);
  out->set_seed(params.seed);
  out->set_counter(spec.counter);
  Append(spec.history, out->mutable_history());
  for (const auto& [token, bias] : spec.logit_bias) {
    out->add_bias_tokens(token);
    out->add_bias_values(bias);
  }
  out->set_top_logprobs(spec.top_logprobs);
}

absl::StatusOr<SampleSpec> SampleFromWire(const wire::SampleSpec& wire) {
  RETURN_IF_ERROR(CheckRange("logit bias values", wire.bias_values_size(), wire.bias_tokens_size(),
                             wire.bias_tokens_size()));
  SampleSpec spec;
  spec.params = {.temperature = wire.temperature(),
                 .top_k = wire.top_k(),
                 .top_p = wire.top_p(),
                 .min_p = wire.min_p(),
                 .repeat_last_n = wire.repeat_last_n(),
                 .repeat_penalty = wire.repeat_penalty(),
                 .frequency_penalty = wire.frequency_penalty(),
                 .presence_penalty = wire.presence_penalty(),
                 .seed = wire.seed()};
  spec.counter = wire.counter();
  spec.history = ToVector<int32_t>(wire.history());
  for (int i = 0; i < wire.bias_tokens_size(); ++i) {
    spec.logit_bias.emplace_back(wire.bias_tokens(i), wire.bias_values(i));
  }
  spec.top_logprobs = wire.top_logprobs();
  return spec;
}

absl::Status CheckSample(const SampleSpec& spec, const StageConfig& last_stage) {
  const SamplingParams& params = spec.params;
  for (const float value : {params.temperature, params.top_p, params.min_p, params.repeat_penalty,
                            params.frequency_penalty, params.presence_penalty}) {
    if (!std::isfinite(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("a sampling parameter is ", value, ", expected a finite number"));
    }
  }
  RETURN_IF_ERROR(CheckRange("top log-probabilities", spec.top_logprobs, -1, kMaxTopLogprobs));
  RETURN_IF_ERROR(CheckRange("tokens of history", spec.history.size(), 0, kMaxPositions));
  RETURN_IF_ERROR(CheckRange("logit biases", spec.logit_bias.size(), 0, kMaxVocabulary));
  RETURN_IF_ERROR(CheckIds("token id of history", spec.history, last_stage.vocabulary_size));
  for (const auto& [token, bias] : spec.logit_bias) {
    RETURN_IF_ERROR(
        CheckRange("token id of a logit bias", token, 0, last_stage.vocabulary_size - 1));
    if (std::isnan(bias)) return absl::InvalidArgumentError("a logit bias is nan");
  }
  return absl::OkStatus();
}

absl::StatusOr<OutputSpec> OutputFromWire(const wire::OutputSpec& wire) {
  RETURN_IF_ERROR(CheckRange("kind of output", wire.kind(), 0, wire::OutputSpec::Kind_MAX));
  OutputSpec spec;
  spec.kind = static_cast<OutputSpec::Kind>(wire.kind());
  if (wire.has_sample()) {
    ASSIGN_OR_RETURN(spec.sample, SampleFromWire(wire.sample()));
  }
  spec.sampled_rows = static_cast<int32_t>(std::min<uint32_t>(wire.sampled_rows(), INT32_MAX));
  spec.return_logits = wire.return_logits();
  spec.first_scored_row = wire.first_scored_row();
  spec.targets = ToVector<int32_t>(wire.targets());
  return spec;
}

static_assert(static_cast<int>(OutputSpec::Kind::kNone) == wire::OutputSpec::NONE);
static_assert(static_cast<int>(OutputSpec::Kind::kSample) == wire::OutputSpec::SAMPLE);
static_assert(static_cast<int>(OutputSpec::Kind::kScore) == wire::OutputSpec::SCORE);

void SampleToWire(const SampleResult& sample, wire::Sample* out) {
  out->set_token(sample.token);
  out->set_logprob(sample.logprob);
  for (const auto& [token, logprob] : sample.top_logprobs) {
    out->add_top_tokens(token);
    out->add_top_logprobs(logprob);
  }
}

absl::StatusOr<SampleResult> SampleFromWire(const wire::Sample& wire, int vocabulary) {
  RETURN_IF_ERROR(CheckRange("sampled token", wire.token(), 0, vocabulary - 1));
  RETURN_IF_ERROR(CheckRange("top log-probabilities", wire.top_tokens_size(), 0, kMaxTopLogprobs));
  RETURN_IF_ERROR(CheckRange("top tokens", wire.top_tokens_size(), wire.top_logprobs_size(),
                             wire.top_logprobs_size()));
  RETURN_IF_ERROR(CheckIds("top token", wire.top_tokens(), vocabulary));
  SampleResult sample;
  sample.token = wire.token();
  sample.logprob = wire.logprob();
  for (int i = 0; i < wire.top_tokens_size(); ++i) {
    sample.top_logprobs.emplace_back(wire.top_tokens(i), wire.top_logprobs(i));
  }
  return sample;
}

// The reply's part for one span, whose logits are taken from the front of `logits`.
absl::StatusOr<SpanOutput> SpanFromWire(const wire::SpanOutput& wire, const OutputSpec& asked,
                                        const StageConfig& last_stage, const float*& logits,
                                        int64_t& logits_left) {
  const int vocabulary = last_stage.vocabulary_size;
  const bool wants_samples = asked.kind == OutputSpec::Kind::kSample && !wire.has_failed();
  const bool wants_scores = asked.kind == OutputSpec::Kind::kScore && !wire.has_failed();
  const int64_t sample_count = wants_samples ? asked.sampled_rows : 0;
  const int64_t logit_count = asked.return_logits ? sample_count * vocabulary : 0;
  const int64_t score_count = wants_scores ? asked.targets.size() : 0;
  RETURN_IF_ERROR(CheckRange("samples of a span", wire.samples_size(), sample_count, sample_count));
  RETURN_IF_ERROR(CheckRange("logits of a span", wire.logit_count(), logit_count, logit_count));
  RETURN_IF_ERROR(CheckRange("logits in the payload", logits_left, logit_count, INT64_MAX));
  RETURN_IF_ERROR(CheckRange("scores of a span", wire.scores_size(), score_count, score_count));
  SpanOutput span;
  if (wire.has_failed()) span.status = FromWire(wire.failed());
  for (const wire::Sample& sample : wire.samples()) {
    ASSIGN_OR_RETURN(SampleResult result, SampleFromWire(sample, vocabulary));
    span.samples.push_back(std::move(result));
  }
  span.scores = ToVector<double>(wire.scores());
  span.logits.assign(logits, logits + logit_count);
  logits += logit_count;
  logits_left -= logit_count;
  return span;
}

}  // namespace

absl::Status CheckBatch(const Batch& batch, const StageConfig& stage) {
  RETURN_IF_ERROR(CheckRange("spans of a step", batch.spans.size(), 1, kMaxSpansPerStep));
  int64_t block_ids = 0;
  for (const Span& span : batch.spans) {
    RETURN_IF_ERROR(CheckSpan(span, stage));
    block_ids += span.block_table.size();
  }
  const int64_t rows = batch.row_count();
  RETURN_IF_ERROR(CheckRange("rows of a step", rows, 1, kMaxBatchRows));
  RETURN_IF_ERROR(CheckRange("bytes of hidden rows of a step",
                             rows * stage.width * int64_t{sizeof(float)}, 1, kMaxPayloadBytes));
  RETURN_IF_ERROR(CheckRange("KV block ids of a step", block_ids, 0, kMaxBlockIdsPerStep));
  const int64_t floats = stage.role.embedding ? 0 : rows * stage.width;
  return CheckRange("floats of hidden rows", batch.hidden.size(), floats, floats);
}

grpc::ByteBuffer EncodeStep(ChainStep step) {
  wire::StepHeader header;
  header.set_epoch(step.batch.epoch);
  header.set_step(step.batch.step);
  TimingsToWire(step.stages, header.mutable_stage_ms());
  if (!step.error.ok()) {
    FailureToWire(step.error, step.failed_stage, header.mutable_failed());
    return EncodeFrame(header);
  }
  for (const Span& span : step.batch.spans) {
    wire::Span* out = header.add_spans();
    out->set_first_position(span.first_position);
    Append(span.tokens, out->mutable_tokens());
    Append(span.block_table, out->mutable_block_table());
  }
  for (const SpanFailure& failure : step.batch.failures) {
    wire::SpanFailure* out = header.add_failed_spans();
    out->set_span(failure.span);
    *out->mutable_failure() = ToWire(failure.status);
  }
  return EncodeFrame(header, std::move(step.batch.hidden));
}

absl::StatusOr<ChainStep> DecodeStep(const grpc::ByteBuffer& frame, const StageConfig& stage) {
  wire::StepHeader header;
  ChainStep step;
  RETURN_IF_ERROR(DecodeFrame(frame, &header, &step.batch.hidden));
  step.batch.epoch = header.epoch();
  step.batch.step = header.step();
  ASSIGN_OR_RETURN(step.stages, TimingsFromWire(header.stage_ms(), stage.stage_index));
  if (header.has_failed()) {
    RETURN_IF_ERROR(FailureFromWire(header.failed(), stage.stage_index, &step.failed_stage));
    step.error = FromWire(header.failed().failure());
    step.batch.hidden.clear();
    return step;
  }
  RETURN_IF_ERROR(CheckRange("spans of a step", header.spans_size(), 1, kMaxSpansPerStep));
  for (const wire::Span& span : header.spans()) {
    step.batch.spans.push_back({.tokens = ToVector<int32_t>(span.tokens()),
                                .first_position = span.first_position(),
                                .block_table = ToVector<int32_t>(span.block_table())});
  }
  RETURN_IF_ERROR(
      CheckRange("failed spans of a step", header.failed_spans_size(), 0, header.spans_size()));
  for (const wire::SpanFailure& failed : header.failed_spans()) {
    RETURN_IF_ERROR(CheckRange("failed span", failed.span(), 0, header.spans_size() - 1));
    step.batch.failures.push_back(
        {.span = static_cast<int32_t>(failed.span()), .status = FromWire(failed.failure())});
  }
  RETURN_IF_ERROR(CheckBatch(step.batch, stage));
  return step;
}

absl::Status CheckOutputs(const std::vector<OutputSpec>& outputs, const StageConfig& last_stage) {
  RETURN_IF_ERROR(CheckRange("outputs of a step", outputs.size(), 1, kMaxSpansPerStep));
  int64_t logit_count = 0;
  int64_t ids = 0;
  for (const OutputSpec& output : outputs) {
    RETURN_IF_ERROR(CheckSample(output.sample, last_stage));
    RETURN_IF_ERROR(CheckRange("sampled rows", output.sampled_rows, 1, kMaxBatchRows));
    RETURN_IF_ERROR(CheckRange("first scored row", output.first_scored_row, 0, kMaxBatchRows));
    RETURN_IF_ERROR(CheckRange("scored rows", output.targets.size(), 0, kMaxBatchRows));
    RETURN_IF_ERROR(CheckIds("target token id", output.targets, last_stage.vocabulary_size));
    if (output.return_logits) {
      logit_count += int64_t{output.sampled_rows} * last_stage.vocabulary_size;
    }
    ids += output.sample.history.size() + output.sample.logit_bias.size() + output.targets.size() +
           int64_t{output.sampled_rows} * (1 + std::max(output.sample.top_logprobs, 0));
  }
  RETURN_IF_ERROR(CheckRange("token ids of the outputs of a step", ids, 0, kMaxOutputIdsPerStep));
  return CheckRange("bytes of logits of a step", logit_count * int64_t{sizeof(float)}, 0,
                    kMaxPayloadBytes);
}

grpc::ByteBuffer EncodeOutputs(const StepOutputs& outputs) {
  wire::OutputsHeader header;
  header.set_epoch(outputs.epoch);
  header.set_step(outputs.step);
  for (const OutputSpec& output : outputs.outputs) {
    wire::OutputSpec* out = header.add_outputs();
    out->set_kind(static_cast<wire::OutputSpec::Kind>(output.kind));
    if (output.kind == OutputSpec::Kind::kSample) {
      SampleToWire(output.sample, out->mutable_sample());
    }
    out->set_sampled_rows(output.sampled_rows);
    out->set_return_logits(output.return_logits);
    out->set_first_scored_row(output.first_scored_row);
    Append(output.targets, out->mutable_targets());
  }
  return EncodeFrame(header);
}

absl::StatusOr<StepOutputs> DecodeOutputs(const grpc::ByteBuffer& frame,
                                          const StageConfig& last_stage) {
  wire::OutputsHeader header;
  RETURN_IF_ERROR(DecodeFrame(frame, &header, nullptr));
  StepOutputs outputs;
  outputs.epoch = header.epoch();
  outputs.step = header.step();
  RETURN_IF_ERROR(CheckRange("outputs of a step", header.outputs_size(), 1, kMaxSpansPerStep));
  for (const wire::OutputSpec& output : header.outputs()) {
    ASSIGN_OR_RETURN(OutputSpec spec, OutputFromWire(output));
    outputs.outputs.push_back(std::move(spec));
  }
  RETURN_IF_ERROR(CheckOutputs(outputs.outputs, last_stage));
  return outputs;
}

grpc::ByteBuffer EncodeReply(StepReply reply) {
  wire::ResultHeader header;
  header.set_epoch(reply.result.epoch);
  header.set_step(reply.result.step);
  TimingsToWire(reply.result.stages, header.mutable_stage_ms());
  if (!reply.error.ok()) {
    FailureToWire(reply.error, reply.failed_stage, header.mutable_failed());
    return EncodeFrame(header);
  }
  std::vector<float> payload;
  for (SpanOutput& span : reply.result.outputs) {
    wire::SpanOutput* out = header.add_outputs();
    if (!span.status.ok()) {
      *out->mutable_failed() = ToWire(span.status);
      continue;
    }
    for (const SampleResult& sample : span.samples) SampleToWire(sample, out->add_samples());
    Append(span.scores, out->mutable_scores());
    out->set_logit_count(span.logits.size());
    if (payload.empty()) {
      payload = std::move(span.logits);
    } else {
      payload.insert(payload.end(), span.logits.begin(), span.logits.end());
    }
  }
  return EncodeFrame(header, std::move(payload));
}

absl::StatusOr<StepReply> DecodeReply(const grpc::ByteBuffer& frame, const StageConfig& last_stage,
                                      const StepOutputs& asked) {
  wire::ResultHeader header;
  std::vector<float> logits;
  RETURN_IF_ERROR(DecodeFrame(frame, &header, &logits));
  if (header.epoch() != asked.epoch || header.step() != asked.step) {
    return absl::InvalidArgumentError(absl::StrCat("a result of epoch ", header.epoch(), " step ",
                                                   header.step(), ", expected epoch ", asked.epoch,
                                                   " step ", asked.step));
  }
  StepReply reply;
  reply.result.epoch = header.epoch();
  reply.result.step = header.step();
  ASSIGN_OR_RETURN(reply.result.stages, TimingsFromWire(header.stage_ms(), last_stage.stage_count));
  if (header.has_failed()) {
    RETURN_IF_ERROR(FailureFromWire(header.failed(), last_stage.stage_count, &reply.failed_stage));
    reply.error = FromWire(header.failed().failure());
    return reply;
  }
  RETURN_IF_ERROR(CheckRange("outputs of a result", header.outputs_size(), asked.outputs.size(),
                             asked.outputs.size()));
  const float* next = logits.data();
  int64_t left = logits.size();
  for (int i = 0; i < header.outputs_size(); ++i) {
    ASSIGN_OR_RETURN(SpanOutput span,
                     SpanFromWire(header.outputs(i), asked.outputs[i], last_stage, next, left));
    reply.result.outputs.push_back(std::move(span));
  }
  RETURN_IF_ERROR(CheckRange("logits left in the payload", left, 0, 0));
  return reply;
}

static_assert(kMaxSharedLogits * kMaxHeadRows * sizeof(float) <= kMaxPayloadBytes);

grpc::ByteBuffer EncodeHeadRequest(HeadRequest request) {
  wire::HeadRequest header;
  header.set_count(static_cast<uint32_t>(request.count));
  header.set_candidates(static_cast<uint32_t>(request.candidates));
  return EncodeFrame(header, std::move(request.rows));
}

absl::StatusOr<HeadRequest> DecodeHeadRequest(const grpc::ByteBuffer& frame,
                                              const StageConfig& stage) {
  wire::HeadRequest header;
  HeadRequest request;
  RETURN_IF_ERROR(DecodeFrame(frame, &header, &request.rows));
  RETURN_IF_ERROR(CheckRange("rows of the head", header.count(), 1, kMaxHeadRows));
  RETURN_IF_ERROR(CheckRange("candidates of a row", header.candidates(), 0,
                             std::min(kMaxHeadCandidates, stage.role.shared_logits)));
  request.count = header.count();
  request.candidates = static_cast<int32_t>(header.candidates());
  const int64_t floats = request.count * stage.width;
  RETURN_IF_ERROR(CheckRange("floats of the head's rows", request.rows.size(), floats, floats));
  return request;
}

grpc::ByteBuffer EncodeHeadReply(HeadReply reply) {
  wire::HeadReply header;
  header.set_compute_ms(AtMostTheBound(reply.compute_ms));
  header.mutable_ids()->Assign(reply.share.ids.begin(), reply.share.ids.end());
  return EncodeFrame(header, std::move(reply.share.logits));
}

absl::StatusOr<HeadReply> DecodeHeadReply(const grpc::ByteBuffer& frame, const StageConfig& stage,
                                          int64_t asked_rows, int32_t asked_candidates) {
  wire::HeadReply header;
  HeadReply reply;
  RETURN_IF_ERROR(DecodeFrame(frame, &header, &reply.share.logits));
  RETURN_IF_ERROR(CheckInterval(header.compute_ms()));
  reply.compute_ms = header.compute_ms();
  const int64_t of_row = asked_candidates > 0 ? asked_candidates : stage.role.shared_logits;
  const int64_t floats = asked_rows * of_row;
  RETURN_IF_ERROR(CheckRange("shared logits", reply.share.logits.size(), floats, floats));
  const int64_t ids = asked_rows * asked_candidates;
  RETURN_IF_ERROR(CheckRange("ids of candidates", header.ids_size(), ids, ids));
  for (const uint32_t id : header.ids()) {
    RETURN_IF_ERROR(CheckRange("a candidate's id", id, 0, stage.role.shared_logits - 1));
  }
  reply.share.ids.assign(header.ids().begin(), header.ids().end());
  return reply;
}

grpc::ByteBuffer EncodeCredits(uint32_t steps) {
  wire::Credit credit;
  credit.set_steps(steps);
  return EncodeFrame(credit);
}

absl::StatusOr<uint32_t> DecodeCredits(const grpc::ByteBuffer& frame) {
  wire::Credit credit;
  RETURN_IF_ERROR(DecodeFrame(frame, &credit, nullptr));
  RETURN_IF_ERROR(CheckRange("credits", credit.steps(), 0, kMaxWindow));
  return credit.steps();
}

}  // namespace baton
