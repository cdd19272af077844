#include "engine/pipeline/local_stage.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/pipeline/plan.h"
#include "engine/sampling/sampler.h"

namespace baton {
namespace {

// Resident bytes of this process; 0 where the system doesn't say.
uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total_pages = 0, resident_pages = 0;
  if (!(statm >> total_pages >> resident_pages)) return 0;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

bool IsFinite(const float* values, int64_t count) {
  constexpr int64_t kBlock = 64;  // loops of a known length become vectors
  const auto is_bad = [](float value) -> uint32_t {
    constexpr uint32_t kExponent = 0x7f800000;
    return (std::bit_cast<uint32_t>(value) & kExponent) == kExponent;
  };
  uint32_t bad = 0;
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    for (int64_t j = 0; j < kBlock; ++j) bad |= is_bad(values[i + j]);
  }
  for (; i < count; ++i) bad |= is_bad(values[i]);
  return bad == 0;
}

// Consecutive rows of a span.
struct RowRange {
  int64_t first = 0;
  int64_t count = 0;
};

// Those of a span with so many rows that its output is made of.
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

absl::Status CheckRole(const ModelSpec& spec, const StageRole& role) {
  const LayerRange& layers = role.layers;
  if (layers.begin < 0 || layers.begin >= layers.end || layers.end > spec.layer_count) {
    return absl::InvalidArgumentError(absl::StrCat("a stage of layers [", layers.begin, ", ",
                                                   layers.end, ") was asked for; the model has ",
                                                   spec.layer_count));
  }
  if (role.shared_logits >= 0 && role.shared_logits < spec.vocabulary_size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a stage was asked to share ", role.shared_logits,
                                                 " of the model's ", spec.vocabulary_size,
                                                 " logits"));
}

// Rows whose logits are held at a time. With a partner these are those of two steps, and its own
// are on their way besides: together they stay below what a process may take beside weights and KV
// blocks, also where a vocabulary is very large.
int64_t RowsAtATime(int64_t vocabulary, bool shares) {
  constexpr int64_t kSharedBytes = 8 << 20;
  if (!shares) return kMaxHeadRows;
  return std::clamp<int64_t>(kSharedBytes / (vocabulary * sizeof(float)), 1, kMaxHeadRows);
}

// Rows of a request to the partner, of `count` that are asked for at once: the second half is made
// while the first one is on its way. A few rows cost little more than one, and stay together, as do
// rows of which candidates alone are sent.
int64_t RequestRows(int64_t count) {
  constexpr int64_t kWorthHalving = 16;
  return count < kWorthHalving ? count : (count + 1) / 2;
}

// Where more of a row's logits than these can matter, sorting them out costs more than sending all.
constexpr int32_t kMostCandidates = 256;

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

// Appends those of row `row` of `count`.
void AppendCandidates(const HeadShare& share, int64_t row, int64_t count,
                      std::vector<Candidate>& candidates) {
  const int64_t of_row = share.logits.size() / count;
  for (int64_t i = row * of_row; i < (row + 1) * of_row; ++i) {
    candidates.push_back({share.logits[i], share.ids[i]});
  }
}

// The rows of the output matrix that a stage with this role computes.
TensorSlice OutputSlice(const ModelSpec& spec, const StageRole& role) {
  TensorSlice slice = spec.output;
  if (!role.head) {
    slice.rows = role.shared_logits;
  } else {
    slice.first_row += role.shared_logits;
    slice.rows -= role.shared_logits;
  }
  return slice;
}

// "4", "4 and 2".
std::string CountsText(const std::vector<int32_t>& counts) {
  return counts.empty() ? "0" : absl::StrJoin(counts, " and ");
}

absl::Status CheckAmounts(const LocalStageOptions& options, size_t group_count) {
  const std::vector<int32_t>& blocks = options.kv_block_counts;
  const bool has_blocks =
      std::all_of(blocks.begin(), blocks.end(), [](int32_t count) { return count > 0; });
  if (options.thread_count > 0 && has_blocks && blocks.size() == group_count) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a stage of ", options.thread_count, " threads and ", CountsText(blocks),
                   " KV blocks was asked for, expected at least 1 of each, for ", group_count,
                   group_count == 1 ? " cache group" : " cache groups"));
}

}  // namespace

std::vector<uint64_t> KvBlockBytes(const ModelSpec& spec, const LayerRange& layers, KvType type) {
  const KvBlockShape shape(spec, layers.begin, layers.end, type);
  return {shape.bytes.begin(), shape.bytes.end()};
}

LocalStage::LocalStage(ModelSpec spec, const LocalStageOptions& options)
    : spec_(std::move(spec)),
      groups_(CacheGroupsOf(spec_)),
      options_(options),
      kernels_(KernelsFor(options.isa)),
      pool_(options.thread_count),
      runner_(spec_, ropes_, kernels_, pool_) {}

absl::StatusOr<std::unique_ptr<LocalStage>> LocalStage::Load(const GgufFile& file,
                                                             const LocalStageOptions& options) {
  ASSIGN_OR_RETURN(ModelSpec spec, ModelSpec::Read(file));
  RETURN_IF_ERROR(CheckRole(spec, options.role));
  if (!CpuSupports(options.isa)) {
    return absl::FailedPreconditionError(
        absl::StrCat("this CPU lacks the instruction set ", IsaName(options.isa)));
  }
  RETURN_IF_ERROR(CheckAmounts(options, CacheGroupsOf(spec).size()));
  std::unique_ptr<LocalStage> stage(new LocalStage(std::move(spec), options));
  ASSIGN_OR_RETURN(stage->kv_pool_, KvPool::Create(stage->spec_, options.role.layers.begin,
                                                   options.role.layers.end, options.numeric.kv_type,
                                                   options.kv_block_counts, options.poison_kv));
  RETURN_IF_ERROR(stage->LoadWeights(file));
  return stage;
}

absl::Status LocalStage::LoadRopes(WeightLoader& loader) {
  const int32_t asked = options_.numeric.asked_context;
  const int64_t context = asked > 0 ? asked : int64_t{spec_.context_length};
  std::vector<std::vector<float>> divisors(spec_.ropes.size());
  for (size_t i = 0; i < spec_.ropes.size(); ++i) {
    loader.AddVector(spec_.ropes[i].DivisorsFor(context), &divisors[i]);
  }
  RETURN_IF_ERROR(loader.Load());
  for (size_t i = 0; i < spec_.ropes.size(); ++i) {
    ASSIGN_OR_RETURN(Rope rope, Rope::Create(spec_.ropes[i], divisors[i], spec_.context_length));
    ropes_.push_back(std::move(rope));
  }
  return absl::OkStatus();
}

absl::Status LocalStage::LoadWeights(const GgufFile& file) {
  const StageRole& role = options_.role;
  const ActivationMode mode = options_.numeric.activations;
  weight_bytes_ = CountStageBytes(CountModelBytes(spec_), role);
  WeightLoader loader(file, pool_, arena_, mode);
  RETURN_IF_ERROR(LoadRopes(loader));
  const TensorSlice output = OutputSlice(spec_, role);
  const bool is_output = role.embedding && spec_.tied_output && !output.empty();
  if (role.embedding) {
    // Rows that are only looked up keep their bits: they are dequantized exactly anyway.
    const ActivationMode embedding_mode = is_output ? mode : ActivationMode::kInt8;
    RETURN_IF_ERROR(loader.AddMatrix(spec_.embedding, embedding_mode, &embedding_));
  }
  layers_.resize(role.layers.size());
  for (size_t i = 0; i < layers_.size(); ++i) {
    RETURN_IF_ERROR(loader.AddLayer(spec_.layers[role.layers.begin + i], &layers_[i]));
  }
  if (role.head) loader.AddNorm(spec_.output_norm, &output_norm_);
  if (!is_output) RETURN_IF_ERROR(loader.AddMatrix(output, &output_));
  WeightLoader::Progress progress;
  if (options_.progress) {
    progress = [this](uint64_t bytes) { return options_.progress(bytes, weight_bytes_); };
  }
  RETURN_IF_ERROR(loader.Load(progress));
  read_bytes_ = loader.bytes_read();
  return absl::OkStatus();
}

absl::Status LocalStage::CheckSpan(const Span& span) const {
  const int64_t end = int64_t{span.first_position} + span.row_count();
  if (span.row_count() < 1 || span.first_position < 0 || end > spec_.context_length) {
    return absl::InvalidArgumentError(
        absl::StrCat("a span has ", span.row_count(), " rows at position ", span.first_position,
                     ", expected positions from 0 to ", int64_t{spec_.context_length} - 1));
  }
  for (const int32_t token : span.tokens) {
    if (token < 0 || token >= spec_.vocabulary_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", token, ", expected 0 to ", spec_.vocabulary_size - 1));
    }
  }
  return CheckBlockTable(span);
}

absl::Status LocalStage::CheckBlockTable(const Span& span) const {
  size_t expected = 0;
  for (const CacheGroup& group : groups_) {
    expected += group.BlocksOf(span.first_position, span.row_count()).size();
  }
  if (span.block_table.size() != expected) {
    return absl::InvalidArgumentError(absl::StrCat("a block table has ", span.block_table.size(),
                                                   " entries, expected ", expected));
  }
  const int32_t* block = span.block_table.data();
  for (size_t i = 0; i < groups_.size(); ++i) {
    const int32_t limit = options_.kv_block_counts[i];
    int32_t left = groups_[i].BlocksOf(span.first_position, span.row_count()).size();
    for (; left > 0; --left, ++block) {
      if (*block >= 0 && *block < limit) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("KV block ", *block, ", expected 0 to ", limit - 1));
    }
  }
  return absl::OkStatus();
}

absl::Status LocalStage::CheckBatch(const Batch& batch) const {
  const int64_t rows = batch.row_count();
  if (rows < 1 || rows > kMaxBatchRows) {
    return absl::InvalidArgumentError(
        absl::StrCat("a batch has ", rows, " rows, expected 1 to ", kMaxBatchRows));
  }
  const size_t hidden = options_.role.embedding ? 0 : rows * spec_.width;
  if (batch.hidden.size() != hidden) {
    return absl::InvalidArgumentError(
        absl::StrCat("a batch has ", batch.hidden.size(), " hidden elements, expected ", hidden));
  }
  for (const Span& span : batch.spans) RETURN_IF_ERROR(CheckSpan(span));
  for (const SpanFailure& failure : batch.failures) {
    if (failure.span >= 0 && failure.span < static_cast<int64_t>(batch.spans.size())) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("span ", failure.span, " has failed, in a batch of ", batch.spans.size()));
  }
  return absl::OkStatus();
}

absl::Status LocalStage::CheckOutputs(const Batch& batch,
                                      const std::vector<OutputSpec>& outputs) const {
  if (outputs.size() != batch.spans.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(outputs.size(), " outputs for a batch of ", batch.spans.size(), " spans"));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const OutputSpec& output = outputs[i];
    if (output.kind == OutputSpec::Kind::kSample &&
        (output.sampled_rows < 1 || output.sampled_rows > batch.spans[i].row_count())) {
      return absl::InvalidArgumentError(absl::StrCat(output.sampled_rows,
                                                     " rows are to be sampled in a span of ",
                                                     batch.spans[i].row_count()));
    }
    if (output.kind != OutputSpec::Kind::kScore) continue;
    const int64_t targets = static_cast<int64_t>(output.targets.size());
    if (output.first_scored_row < 0 ||
        output.first_scored_row + targets > batch.spans[i].row_count()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "rows ", output.first_scored_row, " to ", output.first_scored_row + targets - 1,
          " are to be scored in a span of ", batch.spans[i].row_count()));
    }
    for (const int32_t target : output.targets) {
      if (target < 0 || target >= spec_.vocabulary_size) {
        return absl::InvalidArgumentError(absl::StrCat(
            "token ", target, " to be scored, expected 0 to ", spec_.vocabulary_size - 1));
      }
    }
  }
  return absl::OkStatus();
}

StepRows LocalStage::PlaceRows(const Batch& batch) {
  StepRows step;
  for (const Span& span : batch.spans) {
    StepSpan& place = step.spans.emplace_back();
    place.first_row = step.row_count;
    place.row_count = span.row_count();
    place.first_position = span.first_position;
    const int32_t* block = span.block_table.data();
    for (size_t i = 0; i < groups_.size(); ++i) {
      const BlockRange range = groups_[i].BlocksOf(span.first_position, span.row_count());
      std::vector<uint8_t*>& blocks = place.blocks.emplace_back();
      if (kv_pool_->has_layers(i)) {
        blocks.resize(range.begin);
        for (int32_t j = 0; j < range.size(); ++j) blocks.push_back(kv_pool_->block(i, block[j]));
      }
      block += range.size();
    }
    step.row_count += span.row_count();
  }
  return step;
}

std::vector<float> LocalStage::EmbedTokens(const Batch& batch) {
  std::vector<float> hidden(batch.row_count() * spec_.width);
  float* row = hidden.data();
  for (const Span& span : batch.spans) {
    for (const int32_t token : span.tokens) {
      embedding_.DequantizeRow(token, row);
      if (spec_.embedding_scale != 1.0f) kernels_.scale(row, spec_.embedding_scale, spec_.width);
      row += spec_.width;
    }
  }
  return hidden;
}

absl::Status LocalStage::NotFinite(const char* what, int64_t position) const {
  return absl::InternalError(absl::StrCat("the stage of layers ", options_.role.layers.begin,
                                          " to ", options_.role.layers.end - 1, " computed ", what,
                                          " that are not finite at position ", position));
}

void LocalStage::RunLayer(size_t index, std::vector<float>& hidden) {
  runner_.RunLayer(spec_.layers[options_.role.layers.begin + index], layers_[index],
                   kv_pool_->place(index), hidden.data());
}

// Fails the spans that have rows which are not finite. The rows of all that have failed become
// zeros: what is computed from them later harms nobody.
void LocalStage::FailSpans(const StepRows& step, std::vector<float>& hidden,
                           std::vector<absl::Status>& statuses) const {
  for (size_t i = 0; i < step.spans.size(); ++i) {
    const StepSpan& span = step.spans[i];
    float* rows = hidden.data() + span.first_row * spec_.width;
    for (int64_t row = 0; row < span.row_count && statuses[i].ok(); ++row) {
      if (IsFinite(rows + row * spec_.width, spec_.width)) continue;
      statuses[i] = NotFinite("hidden values", span.first_position + row);
    }
    if (!statuses[i].ok()) std::fill_n(rows, span.row_count * spec_.width, 0.0f);
  }
}

// Before the last layer of the stage with the head, which makes nothing but K and V of rows whose
// logits nobody asked for: stores these, and keeps the other rows. Most of a prompt saves a layer.
absl::Status LocalStage::DropRows(const std::vector<OutputSpec>& outputs, StepRows& step,
                                  std::vector<float>& hidden, std::vector<absl::Status>& statuses) {
  int64_t kept = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    kept += RowsWithLogits(outputs[i], step.spans[i].row_count).count;
  }
  if (kept == step.row_count) return absl::OkStatus();
  const size_t last = layers_.size() - 1;
  runner_.StoreKeysAndValues(spec_.layers[options_.role.layers.end - 1], layers_[last],
                             kv_pool_->place(last), hidden.data());
  FailSpans(step, hidden, statuses);
  step.row_count = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    StepSpan& span = step.spans[i];
    const RowRange rows = RowsWithLogits(outputs[i], span.row_count);
    std::memmove(hidden.data() + step.row_count * spec_.width,
                 hidden.data() + (span.first_row + rows.first) * spec_.width,
                 rows.count * spec_.width * sizeof(float));
    span.first_position += rows.first;
    span.first_row = step.row_count;
    span.row_count = rows.count;
    step.row_count += rows.count;
  }
  return runner_.BeginStep(step);
}

absl::StatusOr<StageOutput> LocalStage::Forward(const Batch& batch,
                                                const std::vector<OutputSpec>& outputs) {
  RETURN_IF_ERROR(CheckBatch(batch));
  if (options_.role.head) RETURN_IF_ERROR(CheckOutputs(batch, outputs));
  StepRows step = PlaceRows(batch);
  std::vector<float> hidden = options_.role.embedding ? EmbedTokens(batch) : batch.hidden;
  std::vector<absl::Status> statuses(batch.spans.size());
  for (const SpanFailure& failure : batch.failures) statuses[failure.span] = failure.status;
  RETURN_IF_ERROR(runner_.BeginStep(step));
  const size_t last = layers_.size() - 1;
  for (size_t i = 0; i < last; ++i) RunLayer(i, hidden);
  if (options_.role.head) RETURN_IF_ERROR(DropRows(outputs, step, hidden, statuses));
  if (step.row_count > 0) RunLayer(last, hidden);
  FailSpans(step, hidden, statuses);
  StageOutput output;
  if (options_.role.head) {
    return RunHead(batch, step, std::move(statuses), hidden.data(), outputs);
  }
  for (size_t i = 0; i < statuses.size(); ++i) {
    if (statuses[i].ok()) continue;
    output.failures.push_back({static_cast<int32_t>(i), std::move(statuses[i])});
  }
  output.hidden = std::move(hidden);
  return output;
}

// Logits that are being made, and what is made of them.
struct LocalStage::OpenHead {
  OpenHead(LocalStage& owner, const Batch& step_batch, const std::vector<OutputSpec>& asked)
      : stage(owner), batch(step_batch), outputs(asked) {
    const std::lock_guard<std::mutex> lock(stage.buffers_mutex_);
    if (stage.buffers_.empty()) return;
    logits = std::move(stage.buffers_.back());
    stage.buffers_.pop_back();
  }
  ~OpenHead() {
    const std::lock_guard<std::mutex> lock(stage.buffers_mutex_);
    stage.buffers_.push_back(std::move(logits));
  }

  LocalStage& stage;
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
std::vector<LocalStage::HeadRow> LocalStage::PlaceOutputs(const StepRows& step,
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

absl::StatusOr<StageOutput> LocalStage::RunHead(const Batch& batch, const StepRows& step,
                                                std::vector<absl::Status> statuses,
                                                const float* hidden,
                                                const std::vector<OutputSpec>& outputs) {
  const auto head = std::make_shared<OpenHead>(*this, batch, outputs);
  head->results.resize(outputs.size());
  for (size_t i = 0; i < statuses.size(); ++i) head->results[i].status = std::move(statuses[i]);
  head->rows = PlaceOutputs(step, outputs, head->results);
  NormalizeHeadRows(head->rows, hidden);
  const int64_t count = head->rows.size();
  const bool shares = options_.role.shared_logits > 0;
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

PackedMatrix LocalStage::output_matrix() const {
  const PackedMatrix& matrix = output_.empty() ? embedding_ : output_;
  return matrix.FirstRows(OutputSlice(spec_, options_.role).rows);
}

void LocalStage::MultiplyOutput(const PackedMatrix& matrix, const float* rows, int64_t count,
                                float* out, int64_t stride) {
  head_input_.Set(kernels_, pool_, rows, count, spec_.width, NeedsQuantizedInput(matrix));
  MatMul(kernels_, pool_, matrix, head_input_, out, stride);
}

absl::StatusOr<HeadShare> LocalStage::SharedLogits(const HeadRequest& request) {
  const int64_t shared = options_.role.head ? 0 : options_.role.shared_logits;
  const int64_t count = request.count;
  const int64_t candidates = request.candidates;
  if (shared == 0 || count < 1 || count > kMaxHeadRows || candidates < 0 || candidates > shared ||
      static_cast<int64_t>(request.rows.size()) != count * spec_.width) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a stage with ", shared, " shared logits was asked for those of ", count, " rows in ",
        request.rows.size(), " floats, ", candidates, " candidates of each"));
  }
  std::vector<float> all;
  std::vector<float>& logits = candidates == 0 ? all : shared_logits_;
  logits.resize(std::max<size_t>(logits.size(), count * shared));
  MultiplyOutput(output_matrix(), request.rows.data(), count, logits.data(), shared);
  if (candidates > 0) return TakeCandidates(logits.data(), shared, count, 0, shared, candidates);
  pool_.Run(count, [&](int64_t row, int) { ScaleLogits(logits.data() + row * shared, shared); });
  return HeadShare{std::move(all), {}};
}

// Of `count` rows of logits, which are `stride` apart, each with those of ids [first_id, end_id).
HeadShare LocalStage::TakeCandidates(float* logits, int64_t stride, int64_t count, int32_t first_id,
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

void LocalStage::NormalizeHeadRows(absl::Span<const HeadRow> rows, const float* hidden) {
  const int64_t width = spec_.width;
  head_rows_.resize(std::max(head_rows_.size(), rows.size() * width));
  const float* bias = output_norm_.bias.empty() ? nullptr : output_norm_.bias.data();
  pool_.Run(rows.size(), [&](int64_t i, int) {
    Normalize(kernels_, spec_, output_norm_.weight.data(), bias, hidden + rows[i].row * width,
              width, head_rows_.data() + i * width);
  });
}

// How many of each row's shared logits its output can depend on, as a HeadRequest says it.
int32_t LocalStage::CountCandidates(const OpenHead& head) const {
  int32_t most = 0;
  for (int64_t i = head.first; i < head.first + head.count; ++i) {
    const OutputSpec& spec = head.outputs[head.rows[i].span];
    const bool all = !head.rows[i].is_sample || spec.return_logits;
    const int32_t candidates = all ? 0 : SampledCandidates(spec.sample);
    if (candidates == 0) return 0;
    most = std::max(most, candidates);
  }
  const int32_t smaller_share =
      std::min(options_.role.shared_logits, spec_.vocabulary_size - options_.role.shared_logits);
  return most <= std::min(kMostCandidates, smaller_share) ? most : 0;
}

// All that this stage does for the logits of rows [first, first + count).
absl::Status LocalStage::BeginLogits(int64_t first, int64_t count, OpenHead& head) {
  const int64_t width = spec_.width;
  const int64_t shared = options_.role.shared_logits;
  const float* rows = head_rows_.data() + first * width;
  head.first = first;
  head.count = count;
  head.requests.clear();
  const int32_t candidates = shared > 0 ? CountCandidates(head) : 0;
  const int64_t most = candidates > 0 ? count : RequestRows(count);
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
  MultiplyOutput(output_matrix(), rows, count, own, vocabulary);
  head.own = {};
  if (candidates > 0) {
    head.own = TakeCandidates(own, vocabulary, count, shared, vocabulary, candidates);
  }
  return absl::OkStatus();
}

// Adds the partner's, and makes of them what was asked for. Where there is a partner this may be
// beside a Forward, which has the pool.
absl::Status LocalStage::FinishLogits(OpenHead& head) {
  if (options_.role.shared_logits == 0) {
    pool_.Run(head.count, [&](int64_t i, int) { UseLogits(i, {}, head); });
    return absl::OkStatus();
  }
  int64_t i = 0;
  for (const auto& [request, count] : head.requests) {
    ASSIGN_OR_RETURN(const HeadShare share, partner_->Finish(request));
    const int64_t of_row = share.logits.size() / count;
    for (int64_t row = 0; row < count; ++row, ++i) {
      if (share.ids.empty()) {
        UseLogits(i, absl::MakeConstSpan(share.logits).subspan(row * of_row, of_row), head);
      } else {
        std::vector<Candidate> candidates;
        AppendCandidates(share, row, count, candidates);
        AppendCandidates(head.own, i, head.count, candidates);
        UseCandidates(i, std::move(candidates), head);
      }
    }
  }
  return absl::OkStatus();
}

void LocalStage::ScaleLogits(float* logits, int64_t count) const {
  if (spec_.logit_scale == 1.0f && spec_.logit_soft_cap == 0) return;
  kernels_.scale(logits, spec_.logit_scale, count);
  if (spec_.logit_soft_cap > 0) kernels_.soft_cap(logits, spec_.logit_soft_cap, count);
}

// Of row first + index, of which the partner has given `shared`.
void LocalStage::UseLogits(int64_t index, absl::Span<const float> shared, OpenHead& head) const {
  const int64_t vocabulary = spec_.vocabulary_size;
  float* logits = head.logits.data() + index * vocabulary;
  std::copy(shared.begin(), shared.end(), logits);
  ScaleLogits(logits + shared.size(), vocabulary - shared.size());
  UseRow(index, absl::MakeConstSpan(logits, vocabulary), {}, head);
}

// The same of candidates from both stages. Among equals the lower id goes first, so that they are
// put into that order: a choice among them is then one among all.
void LocalStage::UseCandidates(int64_t index, std::vector<Candidate> candidates,
                               OpenHead& head) const {
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  std::vector<float> logits;
  std::vector<int32_t> ids;
  for (const Candidate& candidate : candidates) {
    logits.push_back(candidate.logit);
    ids.push_back(candidate.id);
  }
  UseRow(index, logits, ids, head);
}

// `ids`: of the logits; none where these are of all tokens.
void LocalStage::UseRow(int64_t index, absl::Span<const float> logits,
                        absl::Span<const int32_t> ids, OpenHead& head) const {
  const HeadRow& row = head.rows[head.first + index];
  const Span& span = head.batch.spans[row.span];
  const OutputSpec& spec = head.outputs[row.span];
  absl::Status status;
  if (IsFinite(logits.data(), logits.size())) {
    status = MakeOutput(row, logits, ids, span, spec, head.results[row.span]);
  } else {
    const int64_t first_row = RowsWithLogits(spec, span.row_count()).first;
    status = NotFinite("logits", span.first_position + first_row + row.index);
  }
  if (status.ok()) return;
  const std::lock_guard<std::mutex> lock(head.mutex);
  head.results[row.span].status.Update(std::move(status));
}

absl::Status LocalStage::MakeOutput(const HeadRow& row, absl::Span<const float> values,
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

StageStats LocalStage::Stats() const { return {weight_bytes_, read_bytes_, ResidentBytes()}; }

}  // namespace baton
