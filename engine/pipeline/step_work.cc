#include "engine/pipeline/step_work.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/kernels/attention.h"
#include "engine/model/cache_groups.h"
#include "engine/quant/types.h"

namespace baton {
namespace {

class WorkCounter {
 public:
  explicit WorkCounter(ActivationMode activations) : activations_(activations) {}

  // `rows` of input meet the slice, whose bytes are read `reads` times.
  void Add(const TensorSlice& slice, double rows, double reads) {
    work_.read_bytes += reads * static_cast<double>(slice.bytes());
    if (slice.columns <= 1) return;  // norms and biases
    const double operations = 2 * rows * static_cast<double>(slice.rows * slice.columns);
    const bool quantized = TraitsOf(slice.tensor.type).block_elements > 1;
    if (quantized && activations_ == ActivationMode::kInt8) {
      work_.int8_operations += operations;
    } else {
      work_.f32_operations += operations;
    }
  }
  void AddBytes(double bytes) { work_.read_bytes += bytes; }
  const StepWork& work() const { return work_; }

 private:
  const ActivationMode activations_;
  StepWork work_;
};

// Measured on two cores, prompts of 512 in steps of 8 to 512 rows: Q4_0 (0.56 bytes) 1 to 3 rows,
// Q8_0 (1.06) 3, F16 (2.0) 8.
constexpr double kRowsPerByte = 3.5;

// How many of `count` experts are used by at least one of `rows`, each of which uses `used`.
double ExpectedExperts(int count, int used, int64_t rows) {
  double unused = 1;
  for (int64_t row = 0; row < rows && unused > 1e-9; ++row) unused *= 1 - double(used) / count;
  return count * (1 - unused);
}

// What makes K and V; the rest of the layer stays in `layer`.
LayerSpec TakeKeysAndValues(LayerSpec& layer) {
  LayerSpec taken;
  std::swap(taken.attention_norm, layer.attention_norm);
  std::swap(taken.key, layer.key);
  std::swap(taken.value, layer.value);
  std::swap(taken.latent.down, layer.latent.down);
  std::swap(taken.latent.norm, layer.latent.norm);
  std::swap(taken.head_norm.key, layer.head_norm.key);
  return taken;
}

void AddLayer(const ModelSpec& spec, LayerSpec layer, int64_t rows, WorkCounter& counter) {
  if (rows == 0) return;
  double expert_rows = rows, expert_reads = 1;  // of each expert, on average
  if (const int count = static_cast<int>(layer.experts.size()); count > 1) {
    expert_rows = static_cast<double>(rows) * spec.expert_used_count / count;
    expert_reads = ExpectedExperts(count, spec.expert_used_count, rows) / count;
  }
  LayerSpec experts;
  experts.experts.swap(layer.experts);
  VisitSlices(layer, [&](const TensorSlice& slice) { counter.Add(slice, rows, 1); });
  VisitSlices(experts,
              [&](const TensorSlice& slice) { counter.Add(slice, expert_rows, expert_reads); });
}

double CountKvBytes(const ModelSpec& spec, KvType type, const StepShape& shape) {
  const std::vector<uint64_t> block_bytes = KvBlockBytes(spec, {0, spec.layer_count}, type);
  const std::vector<CacheGroup> groups = CacheGroupsOf(spec);
  double bytes = 0;
  for (size_t i = 0; i < groups.size(); ++i) {
    double positions = shape.read_positions;
    if (const int64_t window = groups[i].window; window > 0) {
      const int64_t seen = shape.row_count + shape.sequence_count * (window - 1);
      positions = std::min(positions, static_cast<double>(seen));
    }
    bytes += static_cast<double>(block_bytes[i]) / kKvBlockTokens * positions;
  }
  return bytes;
}

}  // namespace

StepWork CountStepWork(const ModelSpec& spec, const NumericOptions& numeric,
                       const StepShape& shape) {
  WorkCounter counter(numeric.activations);
  LayerSpec last = spec.layers.back();
  for (int i = 0; i + 1 < spec.layer_count; ++i) {
    AddLayer(spec, spec.layers[i], shape.row_count, counter);
  }
  AddLayer(spec, TakeKeysAndValues(last), shape.row_count, counter);
  AddLayer(spec, std::move(last), shape.logit_count, counter);
  counter.Add(spec.output_norm.weight, shape.logit_count, 1);
  counter.Add(spec.output_norm.bias, shape.logit_count, 1);
  counter.Add(spec.output, shape.logit_count, /*reads=*/shape.logit_count > 0 ? 1 : 0);
  counter.AddBytes(static_cast<double>(spec.embedding.row_bytes()) * shape.row_count);
  counter.AddBytes(CountKvBytes(spec, numeric.kv_type, shape));
  return counter.work();
}

double WeightRows(const ModelSpec& spec, const NumericOptions& numeric) {
  StepShape shape;
  shape.row_count = 256;  // so many that every expert is read
  const StepWork work = CountStepWork(spec, numeric, shape);
  const double weights_per_row =
      (work.int8_operations + work.f32_operations) / 2 / static_cast<double>(shape.row_count);
  return weights_per_row > 0 ? kRowsPerByte * work.read_bytes / weights_per_row : 0;
}

double PromptSlack(const ModelSpec& spec, const PipelinePlan& plan) {
  const auto row_operations = [&](const PlannedStage& stage) {
    WorkCounter counter(ActivationMode::kF32);
    for (int i = stage.role.layers.begin; i < stage.role.layers.end; ++i) {
      LayerSpec layer = spec.layers[i];
      AddLayer(spec, i + 1 == spec.layer_count ? TakeKeysAndValues(layer) : layer, 1, counter);
    }
    return counter.work().f32_operations;
  };
  double most = 0;
  for (size_t i = 0; i + 1 < plan.stages.size(); ++i) {
    most = std::max(most, row_operations(plan.stages[i]));
  }
  return std::max(0.0, most / row_operations(plan.stages.back()) - 1);
}

}  // namespace baton
