#include "engine/pipeline/local_stage.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/pipeline/finite.h"
#include "engine/pipeline/plan.h"

namespace baton {
namespace {

// Resident bytes of this process; 0 where the system doesn't say.
uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total_pages = 0, resident_pages = 0;
  if (!(statm >> total_pages >> resident_pages)) return 0;
  return resident_pages * sysconf(_SC_PAGESIZE);
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
  const PackedMatrix& matrix = output_.empty() ? embedding_ : output_;
  output_head_.emplace(spec_, role, kernels_, pool_, output_norm_,
                       matrix.FirstRows(OutputSlice(spec_, role).rows));
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
      statuses[i] = NotFinite(options_.role.layers, "hidden values", span.first_position + row);
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
    return output_head_->Run(batch, step, std::move(statuses), hidden.data(), outputs);
  }
  for (size_t i = 0; i < statuses.size(); ++i) {
    if (statuses[i].ok()) continue;
    output.failures.push_back({static_cast<int32_t>(i), std::move(statuses[i])});
  }
  output.hidden = std::move(hidden);
  return output;
}

StageStats LocalStage::Stats() const { return {weight_bytes_, read_bytes_, ResidentBytes()}; }

}  // namespace baton
