#include "engine/model/layer_runner.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/kernels/exp.h"

namespace baton {
namespace {

// Rows that one task takes of work that is cheap per row.
constexpr int64_t kRowsPerTask = 4;

}  // namespace

LayerRunner::LayerRunner(const ModelSpec& spec, const Rope& rope, const Kernels& kernels,
                         ThreadPool& pool)
    : spec_(spec), rope_(rope), kernels_(kernels), pool_(pool) {}

template <typename Body>
void LayerRunner::ForRows(int64_t rows, const Body& body) {
  pool_.Run((rows + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task, int) {
    const int64_t end = std::min(rows, (task + 1) * kRowsPerTask);
    for (int64_t row = task * kRowsPerTask; row < end; ++row) body(row);
  });
}

void LayerRunner::LayOutScratch(int64_t rows, uint8_t* base, int64_t* bytes) {
  int64_t heads = 0, kv_heads = 0, feed_forward = 0;
  for (const LayerSpec& layer : spec_.layers) {
    heads = std::max<int64_t>(heads, layer.head_count);
    kv_heads = std::max<int64_t>(kv_heads, layer.kv_head_count);
    feed_forward = std::max<int64_t>(feed_forward, layer.feed_forward_size);
  }
  const int64_t expert_width = int64_t{spec_.expert_used_count} * spec_.width;
  *bytes = 0;
  const auto take = [&](int64_t row_floats) {
    float* place = reinterpret_cast<float*>(base + *bytes);
    const int64_t size = rows * row_floats * static_cast<int64_t>(sizeof(float));
    *bytes += (size + int64_t{kBufferAlignment} - 1) / int64_t{kBufferAlignment} *
              int64_t{kBufferAlignment};
    return place;
  };
  activations_.cosine = take(rope_.pair_count());
  activations_.sine = take(rope_.pair_count());
  activations_.normed = take(spec_.width);
  activations_.query = take(heads * spec_.key_size);
  activations_.key = take(kv_heads * spec_.key_size);
  activations_.value = take(kv_heads * spec_.value_size);
  activations_.attended = take(heads * spec_.value_size);
  activations_.projected = take(spec_.width);
  activations_.gate = take(feed_forward);
  activations_.up = take(feed_forward);
  activations_.router = take(spec_.expert_count);
  activations_.chosen = take(expert_width);
  activations_.expert = take(expert_width);
}

absl::Status LayerRunner::BeginStep(const StepRows& step) {
  step_ = &step;
  if (step.row_count > reserved_rows_) {
    int64_t bytes = 0;
    LayOutScratch(step.row_count, nullptr, &bytes);
    reserved_rows_ = 0;
    memory_ = AlignedBuffer();
    memory_ = AlignedBuffer(bytes);
    if (memory_.data() == nullptr) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "no memory for ", bytes, " bytes of scratch for a step of ", step.row_count, " rows"));
    }
    LayOutScratch(step.row_count, memory_.data(), &bytes);
    reserved_rows_ = step.row_count;
    choices_.resize(step.row_count * spec_.expert_used_count);
  }
  for (const StepSpan& span : step.spans) {
    ForRows(span.row_count, [&](int64_t i) {
      const int64_t first = (span.first_row + i) * rope_.pair_count();
      rope_.Fill(span.first_position + i, activations_.cosine + first, activations_.sine + first);
    });
  }
  return absl::OkStatus();
}

void LayerRunner::RunLayer(const LayerSpec& spec, const LayerWeights& weights, const KvPlace& place,
                           float* hidden) {
  Activations& a = activations_;
  const int64_t rows = step_->row_count;
  Normalize(weights.attention_norm, hidden);
  Project(a.normed, rows,
          {{&weights.query, a.query}, {&weights.key, a.key}, {&weights.value, a.value}});
  RotateAndStore(spec, place);
  Attention(spec, place);
  Project(a.attended, rows, {{&weights.attention_output, a.projected}});
  AddRows(a.projected, hidden);

  Normalize(weights.feed_forward_norm, hidden);
  if (weights.router.empty()) {
    FeedForward(weights.experts[0], a.normed, rows, a.projected);
  } else {
    MixExperts(weights);
  }
  AddRows(a.projected, hidden);
}

void LayerRunner::Normalize(const std::vector<float>& weight, const float* hidden) {
  const int64_t width = spec_.width;
  ForRows(step_->row_count, [&](int64_t row) {
    kernels_.rms_norm(hidden + row * width, weight.data(), spec_.norm_epsilon, width,
                      activations_.normed + row * width);
  });
}

void LayerRunner::Project(const float* x, int64_t rows, absl::Span<const Projection> projections) {
  const auto is_quantized = [](const Projection& p) {
    return NeedsQuantizedInput(p.linear->weight);
  };
  const bool quantize = std::any_of(projections.begin(), projections.end(), is_quantized);
  input_.Set(kernels_, pool_, x, rows, projections[0].linear->weight.columns(), quantize);
  constexpr size_t kMaxTargets = 4;
  MatMulTarget targets[kMaxTargets];
  CHECK(projections.size() <= kMaxTargets);
  for (size_t i = 0; i < projections.size(); ++i) {
    const PackedMatrix& w = projections[i].linear->weight;
    targets[i] = {&w, projections[i].out, w.rows()};
  }
  MatMul(kernels_, pool_, absl::MakeConstSpan(targets, projections.size()), input_);
  for (const Projection& projection : projections) {
    const std::vector<float>& bias = projection.linear->bias;
    const int64_t n = static_cast<int64_t>(bias.size());
    if (n == 0) continue;
    ForRows(rows, [&](int64_t row) { kernels_.add(projection.out + row * n, bias.data(), n); });
  }
}

void LayerRunner::RotateAndStore(const LayerSpec& spec, const KvPlace& place) {
  const Activations& a = activations_;
  const int64_t pairs = rope_.pair_count();
  const auto rotate =
      spec_.rope.kind == RopeKind::kAdjacent ? kernels_.rope_adjacent : kernels_.rope_halves;
  const auto rotate_heads = [&](float* row_heads, int head_count, int64_t row) {
    if (pairs == 0) return;
    for (int head = 0; head < head_count; ++head) {
      rotate(row_heads + int64_t{head} * spec_.key_size, a.cosine + row * pairs,
             a.sine + row * pairs, pairs);
    }
  };
  for (const StepSpan& span : step_->spans) {
    ForRows(span.row_count, [&](int64_t i) {
      const int64_t row = span.first_row + i;
      const int64_t position = span.first_position + i;
      float* key = a.key + row * spec.kv_head_count * spec_.key_size;
      const float* value = a.value + row * spec.kv_head_count * spec_.value_size;
      rotate_heads(a.query + row * spec.head_count * spec_.key_size, spec.head_count, row);
      rotate_heads(key, spec.kv_head_count, row);
      StoreKeyValue(kernels_, place.layout, span.blocks[place.group][position / kKvBlockTokens] + place.offset,
                    static_cast<int>(position % kKvBlockTokens), key, value);
    });
  }
}

void LayerRunner::Attention(const LayerSpec& spec, const KvPlace& place) {
  AttentionShape shape;
  shape.layout = place.layout;
  shape.query_head_count = spec.head_count;
  shape.scale = 1.0f / std::sqrt(static_cast<float>(spec_.key_size));
  shape.block_offset = place.offset;
  attention_rows_.clear();
  for (const StepSpan& span : step_->spans) {
    AttentionRows& rows = attention_rows_.emplace_back();
    rows.row_count = span.row_count;
    rows.first_position = span.first_position;
    rows.query = activations_.query + span.first_row * spec.head_count * spec_.key_size;
    rows.out = activations_.attended + span.first_row * spec.head_count * spec_.value_size;
    rows.blocks = span.blocks[place.group].data();
  }
  Attend(kernels_, pool_, shape, attention_rows_, attention_scratch_);
}

void LayerRunner::FeedForward(const FeedForwardWeights& weights, const float* x, int64_t rows,
                              float* out) {
  const Activations& a = activations_;
  Project(x, rows, {{&weights.gate, a.gate}, {&weights.up, a.up}});
  const int64_t size = weights.gate.weight.rows();
  ForRows(rows, [&](int64_t row) {
    kernels_.silu_multiply(a.gate + row * size, a.up + row * size, size, a.gate + row * size);
  });
  Project(a.gate, rows, {{&weights.down, out}});
}

// Softmax over all experts; the likeliest ones by (probability descending, index ascending), their
// probabilities scaled to a sum of 1. Sums run in ascending order of index, or of choice.
void LayerRunner::ChooseExperts(const float* scores, Choice* choices) const {
  const int count = spec_.expert_count;
  const int used = spec_.expert_used_count;
  const float highest = *std::max_element(scores, scores + count);
  float probabilities[kMaxExperts];
  float sum = 0;
  for (int i = 0; i < count; ++i) {
    probabilities[i] = ExpFloat(scores[i] - highest);
    sum += probabilities[i];
  }
  for (int i = 0; i < count; ++i) probabilities[i] /= sum;
  float chosen_sum = 0;
  for (int rank = 0; rank < used; ++rank) {
    int best = -1;
    for (int i = 0; i < count; ++i) {
      const auto is_same = [i](const Choice& choice) { return choice.expert == i; };
      if (std::any_of(choices, choices + rank, is_same)) continue;
      if (best < 0 || probabilities[i] > probabilities[best]) best = i;
    }
    choices[rank] = {best, probabilities[best], 0};
    chosen_sum += probabilities[best];
  }
  for (int rank = 0; rank < used; ++rank) choices[rank].weight /= chosen_sum;
}

// Rows are grouped by expert, so that each expert's weights are read once; a row's sum over its
// experts runs in the order of choice, from zero.
void LayerRunner::MixExperts(const LayerWeights& weights) {
  const Activations& a = activations_;
  const int64_t rows = step_->row_count;
  const int64_t width = spec_.width;
  const int64_t used = spec_.expert_used_count;
  input_.Set(kernels_, pool_, a.normed, rows, width, NeedsQuantizedInput(weights.router));
  MatMul(kernels_, pool_, weights.router, input_, a.router, spec_.expert_count);
  ForRows(rows, [&](int64_t row) {
    ChooseExperts(a.router + row * spec_.expert_count, &choices_[row * used]);
  });

  int64_t slot = 0;
  expert_rows_.assign(spec_.expert_count, 0);
  for (int expert = 0; expert < spec_.expert_count; ++expert) {
    for (int64_t i = 0; i < rows * used; ++i) {
      if (choices_[i].expert != expert) continue;
      std::memcpy(a.chosen + slot * width, a.normed + i / used * width, width * sizeof(float));
      choices_[i].slot = slot++;
      ++expert_rows_[expert];
    }
  }
  int64_t first = 0;
  for (int expert = 0; expert < spec_.expert_count; ++expert) {
    const int64_t count = expert_rows_[expert];
    if (count == 0) continue;
    FeedForward(weights.experts[expert], a.chosen + first * width, count, a.expert + first * width);
    first += count;
  }
  ForRows(rows, [&](int64_t row) {
    float* out = a.projected + row * width;
    std::fill_n(out, width, 0.0f);
    for (int64_t rank = 0; rank < used; ++rank) {
      const Choice& choice = choices_[row * used + rank];
      kernels_.add_scaled(out, a.expert + choice.slot * width, choice.weight, width);
    }
  });
}

void LayerRunner::AddRows(const float* x, float* hidden) {
  const int64_t width = spec_.width;
  ForRows(step_->row_count,
          [&](int64_t row) { kernels_.add(hidden + row * width, x + row * width, width); });
}

}  // namespace baton
