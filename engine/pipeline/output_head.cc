#include "engine/pipeline/output_head.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/pipeline/finite.h"

namespace baton {
namespace {

// Rows whose logits are held at a time. With a partner these are those of two steps, and its own
// are on their way besides: together they stay below what a process may take beside weights and KV
// blocks, also where a vocabulary is very large.
int64_t RowsAtATime(int64_t vocabulary, bool shares) {
  constexpr int64_t kSharedBytes = 8 << 20;
  if (!shares) return kMaxHeadRows;
  return std::clamp<int64_t>(kSharedBytes / (vocabulary * sizeof(float)), 1, kMaxHeadRows);
}

// Rows of a request to the partner, of `count` that are asked for at once: the second half is made
// while the first one is on its way. A few rows cost little more than one, and stay together; so do
// those of which few logits are sent.
int64_t RequestRows(int64_t count, int32_t candidates) {
  constexpr int64_t kWorthHalving = 16;
  return candidates > 0 || count < kWorthHalving ? count : (count + 1) / 2;
}

// The likeliest of a row's logits, or NaN where it is not finite. Ids begin with `first_id`.
void TakeLikeliest(absl::Span<const float> row, int32_t first_id, int64_t count, float* logits,
                   int32_t* ids) {
  if (!IsFinite(row.data(), row.size())) {
    std::fill_n(logits, count, std::numeric_limits<float>::quiet_NaN());
    return;
  }
  for (const Candidate& candidate : LikeliestTokens(row, count)) {
    *logits++ = candidate.logit;
    *ids++ = first_id + candidate.id;
  }
}

}  // namespace

RowRange RowsWithLogits(const OutputSpec& spec, int64_t row_count) {
  switch (spec.kind) {
    case OutputSpec::Kind::kNone:
      return {};
    case OutputSpec::Kind::kSample:
      return {row_count - spec.sampled_rows, spec.sampled_rows};
    case OutputSpec::Kind::kScore:
      return {spec.first_scored_row, static_cast<int64_t>(spec.targets.size())};
  }
  return {};
}

// Logits that are being made, and what is made of them.
struct OutputHead::OpenHead {
  OpenHead(OutputHead& owner, const Batch& step_batch, const std::vector<OutputSpec>& asked)
      : head(owner), batch(step_batch), outputs(asked) {
    const std::lock_guard<std::mutex> lock(head.buffers_mutex_);
    if (head.buffers_.empty()) return;
    logits = std::move(head.buffers_.back());
    head.buffers_.pop_back();
  }
  ~OpenHead() {
    const std::lock_guard<std::mutex> lock(head.buffers_mutex_);
    head.buffers_.push_back(std::move(logits));
  }

  OutputHead& head;
  const Batch& batch;
  const std::vector<OutputSpec>& outputs;
  std::vector<HeadRow> rows;
  std::mutex mutex;  // of the results' statuses
  std::vector<SpanOutput> results;
  // Of rows [first, first + count) at present.
  int64_t first = 0;
  int64_t count = 0;
  std::vector<float> logits;                          // [count][vocabulary]
  HeadShare own;                                      // this stage's candidates, if they are enough
  std::vector<std::pair<int64_t, int64_t>> requests;  // to the partner: number, rows
};

// The rows whose logits are wanted, and room in `results` for what they give. Spans that have
// failed want none.
std::vector<OutputHead::HeadRow> OutputHead::PlaceOutputs(const StepRows& step,
                                                          const std::vector<OutputSpec>& outputs,
                                                          std::vector<SpanOutput>& results) const {
  std::vector<HeadRow> rows;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const OutputSpec& spec = outputs[i];
    if (spec.kind == OutputSpec::Kind::kNone || !results[i].status.ok()) continue;
    const bool samples = spec.kind == OutputSpec::Kind::kSample;
    const StepSpan& span = step.spans[i];
    for (int64_t j = 0; j < span.row_count; ++j) {
      rows.push_back({i, span.first_row + j, samples, static_cast<size_t>(j)});
    }
    if (samples) {
      results[i].samples.resize(span.row_count);
      if (spec.return_logits) results[i].logits.resize(span.row_count * spec_.vocabulary_size);
    } else {
      results[i].scores.resize(span.row_count);
    }
  }
  return rows;
}

absl::StatusOr<StageOutput> OutputHead::Run(const Batch& batch, const StepRows& step,
                                            std::vector<absl::Status> statuses, const float* hidden,
                                            const std::vector<OutputSpec>& outputs) {
  const auto head = std::make_shared<OpenHead>(*this, batch, outputs);
  head->results.resize(outputs.size());
  for (size_t i = 0; i < statuses.size(); ++i) head->results[i].status = std::move(statuses[i]);
  head->rows = PlaceOutputs(step, outputs, head->results);
  NormalizeRows(head->rows, hidden);
  const int64_t count = head->rows.size();
  const bool shares = role_.shared_logits > 0;
  const int64_t most = RowsAtATime(spec_.vocabulary_size, shares);
  StageOutput output;
  for (int64_t first = 0; first < count; first += most) {
    RETURN_IF_ERROR(BeginLogits(first, std::min(most, count - first), *head));
    if (shares && first + most >= count) {
      output.finish = [this, head]() -> absl::StatusOr<std::vector<SpanOutput>> {
        RETURN_IF_ERROR(FinishLogits(*head));
        return std::move(head->results);
      };
      return output;
    }
    RETURN_IF_ERROR(FinishLogits(*head));
  }
  output.outputs = std::move(head->results);
  return output;
}

void OutputHead::Multiply(const float* rows, int64_t count, float* out, int64_t stride) {
  input_.Set(kernels_, pool_, rows, count, spec_.width, NeedsQuantizedInput(matrix_));
  MatMul(kernels_, pool_, matrix_, input_, out, stride);
}

absl::StatusOr<HeadShare> OutputHead::SharedLogits(const HeadRequest& request) {
  const int64_t shared = role_.head ? 0 : role_.shared_logits;
  const int64_t count = request.count;
  const int64_t candidates = request.candidates;
  if (shared == 0 || count < 1 || count > kMaxHeadRows || candidates < 0 ||
      candidates > std::min<int64_t>(kMaxHeadCandidates, shared) ||
      static_cast<int64_t>(request.rows.size()) != count * spec_.width) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a stage with ", shared, " shared logits was asked for those of ", count, " rows in ",
        request.rows.size(), " floats, ", candidates, " candidates of each"));
  }
  std::vector<float> all;
  std::vector<float>& logits = candidates == 0 ? all : shared_logits_;
  logits.resize(std::max<size_t>(logits.size(), count * shared));
  Multiply(request.rows.data(), count, logits.data(), shared);
  if (candidates > 0) return TakeCandidates(logits.data(), shared, count, 0, shared, candidates);
  pool_.Run(count, [&](int64_t row, int) { ScaleLogits(logits.data() + row * shared, shared); });
  return HeadShare{std::move(all), {}};
}

// Of `count` rows of logits, which are `stride` apart, each with those of ids [first_id, end_id).
HeadShare OutputHead::TakeCandidates(float* logits, int64_t stride, int64_t count, int32_t first_id,
                                     int32_t end_id, int64_t candidates) {
  HeadShare share;
  share.logits.resize(count * candidates);
  share.ids.resize(count * candidates);
  pool_.Run(count, [&](int64_t row, int) {
    const absl::Span<float> values = absl::MakeSpan(logits + row * stride, end_id - first_id);
    ScaleLogits(values.data(), values.size());
    TakeLikeliest(values, first_id, candidates, share.logits.data() + row * candidates,
                  share.ids.data() + row * candidates);
  });
  return share;
}

void OutputHead::NormalizeRows(absl::Span<const HeadRow> rows, const float* hidden) {
  const int64_t width = spec_.width;
  rows_.resize(std::max(rows_.size(), rows.size() * width));
  const float* bias = norm_.bias.empty() ? nullptr : norm_.bias.data();
  pool_.Run(rows.size(), [&](int64_t i, int) {
    Normalize(kernels_, spec_, norm_.weight.data(), bias, hidden + rows[i].row * width, width,
              rows_.data() + i * width);
  });
}

// How many of each row's shared logits its output can depend on, as a HeadRequest says it.
int32_t OutputHead::CountCandidates(const OpenHead& head) const {
  int32_t most = 0;
  for (int64_t i = head.first; i < head.first + head.count; ++i) {
    const OutputSpec& spec = head.outputs[head.rows[i].span];
    const bool all = !head.rows[i].is_sample || spec.return_logits;
    const int32_t candidates = all ? 0 : SampledCandidates(spec.sample);
    if (candidates == 0) return 0;
    most = std::max(most, candidates);
  }
  const int32_t smaller_share =
      std::min(role_.shared_logits, spec_.vocabulary_size - role_.shared_logits);
  return most <= std::min(kMaxHeadCandidates, smaller_share) ? most : 0;
}

// All that this stage does for the logits of rows [first, first + count).
absl::Status OutputHead::BeginLogits(int64_t first, int64_t count, OpenHead& head) {
  const int64_t width = spec_.width;
  const int64_t shared = role_.shared_logits;
  const float* rows = rows_.data() + first * width;
  head.first = first;
  head.count = count;
  head.requests.clear();
  const int32_t candidates = shared > 0 ? CountCandidates(head) : 0;
  const int64_t most = RequestRows(count, candidates);
  for (int64_t row = 0; shared > 0 && row < count; row += most) {
    const int64_t some = std::min(most, count - row);
    HeadRequest request;
    request.count = some;
    request.rows.assign(rows + row * width, rows + (row + some) * width);
    request.candidates = candidates;
    ASSIGN_OR_RETURN(const int64_t number, partner_->Begin(std::move(request)));
    head.requests.emplace_back(number, some);
  }
  const int64_t vocabulary = spec_.vocabulary_size;
  head.logits.resize(std::max<size_t>(head.logits.size(), count * vocabulary));
  float* own = head.logits.data() + shared;
  Multiply(rows, count, own, vocabulary);
  head.own = {};
  if (candidates > 0) {
    head.own = TakeCandidates(own, vocabulary, count, shared, vocabulary, candidates);
  }
  return absl::OkStatus();
}

// Adds the partner's, and makes of them what was asked for. Where there is a partner this may be
// beside a Forward, which has the pool.
absl::Status OutputHead::FinishLogits(OpenHead& head) {
  if (role_.shared_logits == 0) {
    pool_.Run(head.count, [&](int64_t i, int) { UseLogits(i, {}, head); });
    return absl::OkStatus();
  }
  int64_t i = 0;
  for (const auto& [request, count] : head.requests) {
    ASSIGN_OR_RETURN(const HeadShare share, partner_->Finish(request));
    const int64_t shared = role_.shared_logits;
    for (int64_t row = 0; row < count; ++row, ++i) {
      if (share.ids.empty()) {
        UseLogits(i, absl::MakeConstSpan(share.logits).subspan(row * shared, shared), head);
      } else {
        UseCandidates(i, share, row, head);
      }
    }
  }
  return absl::OkStatus();
}

void OutputHead::ScaleLogits(float* logits, int64_t count) const {
  if (spec_.logit_scale == 1.0f && spec_.logit_soft_cap == 0) return;
  kernels_.scale(logits, spec_.logit_scale, count);
  if (spec_.logit_soft_cap > 0) kernels_.soft_cap(logits, spec_.logit_soft_cap, count);
}

// Of row first + index, of which the partner has given `shared`.
void OutputHead::UseLogits(int64_t index, absl::Span<const float> shared, OpenHead& head) const {
  const int64_t vocabulary = spec_.vocabulary_size;
  float* logits = head.logits.data() + index * vocabulary;
  std::copy(shared.begin(), shared.end(), logits);
  ScaleLogits(logits + shared.size(), vocabulary - shared.size());
  UseRow(index, absl::MakeConstSpan(logits, vocabulary), {}, head);
}

// The same of candidates: row `row` of the partner's, and this stage's. Of equals the lower id goes
// first, in each part and, as the partner has the lower ones, in both: a choice among them is one
// among all.
void OutputHead::UseCandidates(int64_t index, const HeadShare& shared, int64_t row,
                               OpenHead& head) const {
  const int64_t of_row = static_cast<int64_t>(head.own.ids.size()) / head.count;
  std::vector<float> logits;
  std::vector<int32_t> ids;
  const auto append = [&](const HeadShare& part, int64_t part_row) {
    const int64_t begin = part_row * of_row, end = begin + of_row;
    logits.insert(logits.end(), part.logits.begin() + begin, part.logits.begin() + end);
    ids.insert(ids.end(), part.ids.begin() + begin, part.ids.begin() + end);
  };
  append(shared, row);
  append(head.own, index);
  UseRow(index, logits, ids, head);
}

// `ids`: of the logits; none where these are of all tokens.
void OutputHead::UseRow(int64_t index, absl::Span<const float> logits,
                        absl::Span<const int32_t> ids, OpenHead& head) const {
  const HeadRow& row = head.rows[head.first + index];
  const Span& span = head.batch.spans[row.span];
  const OutputSpec& spec = head.outputs[row.span];
  absl::Status status;
  if (IsFinite(logits.data(), logits.size())) {
    status = MakeOutput(row, logits, ids, span, spec, head.results[row.span]);
  } else {
    const int64_t first_row = RowsWithLogits(spec, span.row_count()).first;
    status = NotFinite(role_.layers, "logits", span.first_position + first_row + row.index);
  }
  if (status.ok()) return;
  const std::lock_guard<std::mutex> lock(head.mutex);
  head.results[row.span].status.Update(std::move(status));
}

absl::Status OutputHead::MakeOutput(const HeadRow& row, absl::Span<const float> values,
                                    absl::Span<const int32_t> ids, const Span& span,
                                    const OutputSpec& spec, SpanOutput& output) const {
  if (!row.is_sample) {
    output.scores[row.index] = LogProbability(values, spec.targets[row.index]);
    return absl::OkStatus();
  }
  SampleResult& result = output.samples[row.index];
  if (row.index == 0) {
    ASSIGN_OR_RETURN(result, Sample(values, spec.sample));
  } else {
    SampleSpec sample = spec.sample;
    sample.counter += row.index;
    const auto read = span.tokens.begin() + RowsWithLogits(spec, span.row_count()).first + 1;
    sample.history.insert(sample.history.end(), read, read + row.index);
    ASSIGN_OR_RETURN(result, Sample(values, sample));
  }
  if (!ids.empty()) result.token = ids[result.token];
  if (spec.return_logits) {
    std::copy(values.begin(), values.end(),
              output.logits.begin() + row.index * spec_.vocabulary_size);
  }
  return absl::OkStatus();
}

}  // namespace baton
