#include "engine/model/layer_runner.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/kernels/exp.h"

namespace baton {
namespace {

// Rows that one task takes of work that is cheap per row.
constexpr int64_t kRowsPerTask = 4;

// The most that any layer needs of each buffer, in floats per row.
struct RowSizes {
  int64_t query = 0, key = 0, value = 0, attended = 0, feed_forward = 0, shared = 0;
  int64_t query_down = 0, head_query = 0, by_head = 0;
};

void Raise(int64_t size, int64_t* most) { *most = std::max(*most, size); }

RowSizes LargestRows(const ModelSpec& spec) {
  RowSizes sizes;
  for (const LayerSpec& layer : spec.layers) {
    const int64_t heads = layer.head_count;
    Raise(heads * spec.key_size, &sizes.query);
    Raise(int64_t{layer.kv_head_count} * spec.key_size, &sizes.key);
    Raise(int64_t{layer.kv_head_count} * spec.value_size, &sizes.value);
    Raise(heads * spec.value_size, &sizes.attended);
    const int64_t used = layer.router.empty() ? 1 : spec.expert_used_count;
    Raise(used * layer.experts[0].up.weight.rows, &sizes.feed_forward);
    Raise(layer.shared_expert.up.weight.rows, &sizes.feed_forward);
    if (!layer.shared_expert.up.empty()) sizes.shared = spec.width;
    if (layer.latent.empty()) continue;
    Raise(layer.latent.query_down.weight.rows, &sizes.query_down);
    Raise(layer.query.weight.rows, &sizes.head_query);
    Raise(heads * layer.latent.value_size, &sizes.head_query);
    Raise(heads * std::max(layer.latent.rank, layer.latent.plain_size), &sizes.by_head);
  }
  return sizes;
}

}  // namespace

void Normalize(const Kernels& kernels, const ModelSpec& spec, const float* weight,
               const float* bias, const float* x, int64_t n, float* out) {
  if (spec.norm_kind == NormKind::kLayer) {
    kernels.layer_norm(x, weight, bias, spec.norm_epsilon, n, out);
  } else {
    kernels.rms_norm(x, weight, spec.norm_epsilon, n, out);
  }
}

LayerRunner::LayerRunner(const ModelSpec& spec, const std::vector<Rope>& ropes,
                         const Kernels& kernels, ThreadPool& pool)
    : spec_(spec), ropes_(ropes), kernels_(kernels), pool_(pool) {}

template <typename Body>
void LayerRunner::ForRows(int64_t rows, const Body& body) {
  pool_.Run((rows + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task, int) {
    const int64_t end = std::min(rows, (task + 1) * kRowsPerTask);
    for (int64_t row = task * kRowsPerTask; row < end; ++row) body(row);
  });
}

// Calls body(span, row, position) for all rows of the step.
template <typename Body>
void LayerRunner::ForPositions(const Body& body) {
  for (const StepSpan& span : step_->spans) {
    ForRows(span.row_count,
            [&](int64_t i) { body(span, span.first_row + i, span.first_position + i); });
  }
}

void LayerRunner::LayOutScratch(int64_t rows, uint8_t* base, int64_t* bytes) {
  const RowSizes sizes = LargestRows(spec_);
  const int64_t expert_width = int64_t{spec_.expert_used_count} * spec_.width;
  *bytes = 0;
  const auto take = [&](int64_t row_floats) {
    float* place = reinterpret_cast<float*>(base + *bytes);
    const int64_t size = rows * row_floats * static_cast<int64_t>(sizeof(float));
    *bytes += (size + int64_t{kBufferAlignment} - 1) / int64_t{kBufferAlignment} *
              int64_t{kBufferAlignment};
    return place;
  };
  angles_.resize(ropes_.size());
  for (size_t i = 0; i < ropes_.size(); ++i) {
    angles_[i].cosine = take(ropes_[i].pair_count());
    angles_[i].sine = take(ropes_[i].pair_count());
  }
  activations_.normed = take(spec_.width);
  activations_.query = take(sizes.query);
  activations_.key = take(sizes.key);
  activations_.value = take(sizes.value);
  activations_.attended = take(sizes.attended);
  activations_.projected = take(spec_.width);
  activations_.gate = take(sizes.feed_forward);
  activations_.up = take(sizes.feed_forward);
  activations_.router = take(spec_.expert_count);
  activations_.chosen = take(expert_width);
  activations_.shared = take(sizes.shared);
  activations_.query_down = take(sizes.query_down);
  activations_.head_query = take(sizes.head_query);
  activations_.by_head = take(sizes.by_head);
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
    slots_.resize(choices_.size());
  }
  for (size_t i = 0; i < ropes_.size(); ++i) {
    const Rope& rope = ropes_[i];
    ForPositions([&](const StepSpan&, int64_t row, int64_t position) {
      const int64_t first = row * rope.pair_count();
      rope.Fill(position, angles_[i].cosine + first, angles_[i].sine + first);
    });
  }
  return absl::OkStatus();
}

void LayerRunner::RunLayer(const LayerSpec& spec, const LayerWeights& weights, const KvPlace& place,
                           float* hidden) {
  const Activations& a = activations_;
  const int64_t rows = step_->row_count;
  const float* normed = NormalizeRows(weights.attention_norm, hidden);
  if (spec.latent.empty()) {
    Project(normed, rows,
            {{&weights.query, a.query}, {&weights.key, a.key}, {&weights.value, a.value}});
    RotateAndStore(spec, weights, place);
    Attention(spec, weights, place);
  } else {
    ProjectLatent(spec, weights, place, normed);
    Attention(spec, weights, place);
    ProjectHeads(weights.latent.value_up, a.attended, spec_.value_size,
                 int64_t{spec.head_count} * spec_.value_size, a.head_query,
                 int64_t{spec.head_count} * spec.latent.value_size);
  }
  Project(spec.latent.empty() ? a.attended : a.head_query, rows,
          {{&weights.attention_output, a.projected}});
  AddToHidden(weights.attention_post_norm, hidden);

  if (!spec.parallel) normed = NormalizeRows(weights.feed_forward_norm, hidden);
  if (spec.router.empty()) {
    FeedForward(weights.experts[0], normed, rows, a.projected);
  } else {
    MixExperts(spec, weights, normed);
  }
  AddToHidden(weights.feed_forward_post_norm, hidden);
}

void LayerRunner::StoreKeysAndValues(const LayerSpec& spec, const LayerWeights& weights,
                                     const KvPlace& place, const float* hidden) {
  const Activations& a = activations_;
  const float* normed = NormalizeRows(weights.attention_norm, hidden);
  if (spec.latent.empty()) {
    Project(normed, step_->row_count, {{&weights.key, a.key}, {&weights.value, a.value}});
  } else {
    Project(normed, step_->row_count, {{&weights.latent.down, a.key}});
  }
  ForPositions([&](const StepSpan& span, int64_t row, int64_t position) {
    StoreRow(spec, weights, place, span, row, position);
  });
}

void LayerRunner::NormalizeRow(const Norm& norm, const float* x, int64_t n, float* out) const {
  Normalize(kernels_, spec_, norm.weight.data(), norm.bias.empty() ? nullptr : norm.bias.data(), x,
            n, out);
}

// The rows of x, normalised where there is a norm.
const float* LayerRunner::NormalizeRows(const Norm& norm, const float* x) {
  if (norm.empty()) return x;
  const int64_t width = spec_.width;
  ForRows(step_->row_count, [&](int64_t row) {
    NormalizeRow(norm, x + row * width, width, activations_.normed + row * width);
  });
  return activations_.normed;
}

// Adds what a part has projected.
void LayerRunner::AddToHidden(const Norm& post_norm, float* hidden) {
  const int64_t width = spec_.width;
  ForRows(step_->row_count, [&](int64_t row) {
    float* x = activations_.projected + row * width;
    if (!post_norm.empty()) NormalizeRow(post_norm, x, width, x);
    kernels_.add_scaled(hidden + row * width, x, spec_.residual_scale, width);
  });
}

void LayerRunner::Project(const float* x, int64_t rows, absl::Span<const Projection> projections) {
  if (between_products_) between_products_();
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
    targets[i] = {&w, projections[i].out, w.rows(), 0, rows};
  }
  MatMul(kernels_, pool_, absl::MakeConstSpan(targets, projections.size()), input_);
  for (const Projection& projection : projections) {
    const std::vector<float>& bias = projection.linear->bias;
    const int64_t n = static_cast<int64_t>(bias.size());
    if (n == 0) continue;
    ForRows(rows, [&](int64_t row) { kernels_.add(projection.out + row * n, bias.data(), n); });
  }
}

void LayerRunner::NormalizeHeads(const HeadNormSpec& spec, const std::vector<float>& weight,
                                 int heads, float* x) const {
  const int64_t run = spec.whole_row ? int64_t{heads} * spec_.key_size : spec_.key_size;
  const int64_t weights = static_cast<int64_t>(weight.size());
  for (int64_t at = 0; at < int64_t{heads} * spec_.key_size; at += run) {
    Normalize(kernels_, spec_, weight.data() + at % weights, nullptr, x + at, run, x + at);
  }
}

// The leading elements of one head by the angles of the row's position.
void LayerRunner::Rotate(const LayerSpec& spec, int64_t row, float* head) const {
  const int64_t pairs = ropes_[spec.rope].pair_count();
  const auto rotate = spec_.ropes[spec.rope].kind == RopeKind::kAdjacent ? kernels_.rope_adjacent
                                                                         : kernels_.rope_halves;
  rotate(head, angles_[spec.rope].cosine + row * pairs, angles_[spec.rope].sine + row * pairs,
         pairs);
}

// Normalises and rotates the heads of Q or K of one row, as far as the layer does.
void LayerRunner::PrepareHeads(const LayerSpec& spec, const std::vector<float>& norm, int64_t row,
                               int heads, float* x) const {
  if (spec.head_norm.place == HeadNormPlace::kBeforeRope) {
    NormalizeHeads(spec.head_norm, norm, heads, x);
  }
  if (spec.rope != kNoRope) {
    for (int head = 0; head < heads; ++head) Rotate(spec, row, x + int64_t{head} * spec_.key_size);
  }
  if (spec.head_norm.place == HeadNormPlace::kAfterRope) {
    NormalizeHeads(spec.head_norm, norm, heads, x);
  }
}

void LayerRunner::Store(const StepSpan& span, const KvPlace& place, int64_t position,
                        const float* key, const float* value) const {
  uint8_t* block = span.blocks[place.group][position / kKvBlockTokens];
  StoreKeyValue(kernels_, place.layout, block + place.offset,
                static_cast<int>(position % kKvBlockTokens), key, value);
}

// Of a row that is projected: makes K ready and stores it with V, or the latent row.
void LayerRunner::StoreRow(const LayerSpec& spec, const LayerWeights& weights, const KvPlace& place,
                           const StepSpan& span, int64_t row, int64_t position) {
  const Activations& a = activations_;
  float* key = a.key + row * spec.kv_head_count * spec_.key_size;
  const float* value = nullptr;
  if (spec.latent.empty()) {
    PrepareHeads(spec, weights.key_head_norm, row, spec.kv_head_count, key);
    value = a.value + row * spec.kv_head_count * spec_.value_size;
  } else {
    NormalizeRow(weights.latent.norm, key, spec.latent.rank, key);
    Rotate(spec, row, key + spec.latent.rank);
  }
  Store(span, place, position, key, value);
}

void LayerRunner::RotateAndStore(const LayerSpec& spec, const LayerWeights& weights,
                                 const KvPlace& place) {
  ForPositions([&](const StepSpan& span, int64_t row, int64_t position) {
    PrepareHeads(spec, weights.query_head_norm, row, spec.head_count,
                 activations_.query + row * spec.head_count * spec_.key_size);
    StoreRow(spec, weights, place, span, row, position);
  });
}

void LayerRunner::Attention(const LayerSpec& spec, const LayerWeights& weights,
                            const KvPlace& place) {
  AttentionShape shape;
  shape.layout = place.layout;
  shape.query_head_count = spec.head_count;
  shape.scale = spec_.attention_scale;
  shape.block_offset = place.offset;
  shape.window = spec.window;
  shape.soft_cap = spec_.attention_soft_cap;
  shape.sinks = weights.sinks.empty() ? nullptr : weights.sinks.data();
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

// Stores the latent row, and makes Q of each head ready to meet it.
void LayerRunner::ProjectLatent(const LayerSpec& spec, const LayerWeights& weights,
                                const KvPlace& place, const float* normed) {
  const Activations& a = activations_;
  const LatentAttentionWeights& latent = weights.latent;
  const int64_t rows = step_->row_count;
  const int64_t heads = spec.head_count;
  const int64_t rank = spec.latent.rank;
  const int64_t plain = spec.latent.plain_size;
  const int64_t key_size = spec_.key_size;
  const int64_t head_size = plain + key_size - rank;
  if (latent.query_down.weight.empty()) {
    Project(normed, rows, {{&weights.query, a.head_query}, {&latent.down, a.key}});
  } else {
    Project(normed, rows, {{&latent.query_down, a.query_down}, {&latent.down, a.key}});
    const int64_t size = latent.query_down.weight.rows();
    ForRows(rows, [&](int64_t row) {
      float* x = a.query_down + row * size;
      NormalizeRow(latent.query_norm, x, size, x);
    });
    Project(a.query_down, rows, {{&weights.query, a.head_query}});
  }
  ForPositions([&](const StepSpan& span, int64_t row, int64_t position) {
    StoreRow(spec, weights, place, span, row, position);
    for (int64_t head = 0; head < heads; ++head) {
      float* rotated = a.head_query + (row * heads + head) * head_size + plain;
      Rotate(spec, row, rotated);
      std::copy_n(rotated, key_size - rank, a.query + (row * heads + head) * key_size + rank);
    }
  });
  ProjectHeads(latent.key_up, a.head_query, head_size, heads * head_size, a.query,
               heads * key_size);
}

// A product for each head: of row r and head h from `heads` + r * row_stride + h * head_stride to
// `out` + r * out_row_stride + h * (out_row_stride / head count).
void LayerRunner::ProjectHeads(const std::vector<PackedMatrix>& matrices, const float* heads,
                               int64_t head_stride, int64_t row_stride, float* out,
                               int64_t out_row_stride) {
  const int64_t rows = step_->row_count;
  const int64_t count = static_cast<int64_t>(matrices.size());
  const int64_t columns = matrices[0].columns();
  ForRows(rows, [&](int64_t row) {
    for (int64_t head = 0; head < count; ++head) {
      std::copy_n(heads + row * row_stride + head * head_stride, columns,
                  activations_.by_head + (head * rows + row) * columns);
    }
  });
  input_.Set(kernels_, pool_, activations_.by_head, count * rows, columns,
             NeedsQuantizedInput(matrices[0]));
  targets_.clear();
  for (int64_t head = 0; head < count; ++head) {
    targets_.push_back({&matrices[head], out + head * (out_row_stride / count), out_row_stride,
                        head * rows, rows});
  }
  MatMul(kernels_, pool_, targets_, input_);
}

// gate[i] = the activation of gate and up; of up alone where there is no gate.
void LayerRunner::Activate(float* gate, const float* up, int64_t size, bool gated) const {
  switch (spec_.activation) {
    case Activation::kSilu:
      return kernels_.silu_multiply(gate, up, size, gate);
    case Activation::kGelu:
      if (!gated) return kernels_.gelu(up, size, gate);
      return kernels_.gelu_multiply(gate, up, size, gate);
    case Activation::kClampedSwiglu:
      return kernels_.swiglu_clamped_multiply(gate, up, size, gate);
  }
}

void LayerRunner::FeedForward(const FeedForwardWeights& weights, const float* x, int64_t rows,
                              float* out) {
  const Activations& a = activations_;
  const bool gated = !weights.gate.weight.empty();
  if (gated) {
    Project(x, rows, {{&weights.gate, a.gate}, {&weights.up, a.up}});
  } else {
    Project(x, rows, {{&weights.up, a.up}});
  }
  const int64_t size = weights.up.weight.rows();
  ForRows(rows,
          [&](int64_t row) { Activate(a.gate + row * size, a.up + row * size, size, gated); });
  Project(a.gate, rows, {{&weights.down, out}});
}

// Copies the rows to where those of an expert stand together, in ascending order.
void LayerRunner::GroupByExpert(const float* x) {
  const int64_t width = spec_.width;
  const int64_t used = spec_.expert_used_count;
  const int64_t choices = step_->row_count * used;
  expert_ends_.assign(spec_.expert_count, 0);
  for (int64_t i = 0; i < choices; ++i) ++expert_ends_[choices_[i].expert];
  int64_t first = 0;
  for (int64_t& end : expert_ends_) {
    const int64_t count = end;
    end = first;
    first += count;
  }
  for (int64_t i = 0; i < choices; ++i) slots_[i] = expert_ends_[choices_[i].expert]++;
  ForRows(step_->row_count, [&](int64_t row) {
    for (int64_t rank = 0; rank < used; ++rank) {
      std::copy_n(x + row * width, width, activations_.chosen + slots_[row * used + rank] * width);
    }
  });
}

// Each expert's rows of x times its matrices, all experts in one run of the pool.
void LayerRunner::ProjectExperts(const std::vector<FeedForwardWeights>& experts, const float* x,
                                 absl::Span<const ExpertProjection> projections) {
  bool quantize = false;
  targets_.clear();
  int64_t first = 0;
  for (size_t expert = 0; expert < experts.size(); ++expert) {
    const int64_t count = expert_ends_[expert] - first;
    if (count == 0) continue;
    for (const ExpertProjection& projection : projections) {
      const PackedMatrix& w = (experts[expert].*projection.linear).weight;
      quantize |= NeedsQuantizedInput(w);
      targets_.push_back({&w, projection.out + first * w.rows(), w.rows(), first, count});
    }
    first += count;
  }
  input_.Set(kernels_, pool_, x, first, targets_[0].w->columns(), quantize);
  MatMul(kernels_, pool_, targets_, input_);
  for (const ExpertProjection& projection : projections) {
    if ((experts[0].*projection.linear).bias.empty()) continue;
    ForRows(step_->row_count, [&](int64_t row) {
      const int64_t used = spec_.expert_used_count;
      for (int64_t i = row * used; i < (row + 1) * used; ++i) {
        const std::vector<float>& bias = (experts[choices_[i].expert].*projection.linear).bias;
        kernels_.add(projection.out + slots_[i] * bias.size(), bias.data(), bias.size());
      }
    });
  }
}

// Rows are grouped by expert, so that each expert's weights are read once; a row's sum over its
// experts runs in the order of choice, from zero, and the shared expert comes last.
void LayerRunner::MixExperts(const LayerSpec& spec, const LayerWeights& weights, const float* x) {
  const Activations& a = activations_;
  const RouterWeights& router = weights.router;
  const int64_t rows = step_->row_count;
  const int64_t width = spec_.width;
  const int64_t used = spec_.expert_used_count;
  const int64_t experts = spec_.expert_count;
  input_.Set(kernels_, pool_, x, rows, width, NeedsQuantizedInput(router.weight));
  MatMul(kernels_, pool_, router.weight, input_, a.router, experts);
  ForRows(rows, [&](int64_t row) {
    float* scores = a.router + row * experts;
    if (!router.bias.empty()) kernels_.add(scores, router.bias.data(), experts);
    ChooseExperts(spec.router, router.choice_bias, absl::MakeConstSpan(scores, experts),
                  absl::MakeSpan(&choices_[row * used], used));
  });
  GroupByExpert(x);
  ProjectExperts(weights.experts, a.chosen,
                 {{&FeedForwardWeights::gate, a.gate}, {&FeedForwardWeights::up, a.up}});
  const int64_t size = weights.experts[0].up.weight.rows();
  ForRows(rows * used,
          [&](int64_t slot) { Activate(a.gate + slot * size, a.up + slot * size, size, true); });
  ProjectExperts(weights.experts, a.gate, {{&FeedForwardWeights::down, a.chosen}});
  ForRows(rows, [&](int64_t row) {
    float* out = a.projected + row * width;
    std::fill_n(out, width, 0.0f);
    for (int64_t i = row * used; i < (row + 1) * used; ++i) {
      kernels_.add_scaled(out, a.chosen + slots_[i] * width, choices_[i].weight, width);
    }
  });
  if (!weights.shared_expert.up.weight.empty()) AddShared(weights, x);
}

void LayerRunner::AddShared(const LayerWeights& weights, const float* x) {
  const Activations& a = activations_;
  const int64_t rows = step_->row_count;
  const int64_t width = spec_.width;
  FeedForward(weights.shared_expert, x, rows, a.shared);
  const bool gated = !weights.shared_expert_gate.empty();
  if (gated) {
    input_.Set(kernels_, pool_, x, rows, width, NeedsQuantizedInput(weights.shared_expert_gate));
    MatMul(kernels_, pool_, weights.shared_expert_gate, input_, a.router, 1);
  }
  ForRows(rows, [&](int64_t row) {
    const float scale = gated ? SigmoidFloat(a.router[row]) : 1.0f;
    kernels_.add_scaled(a.projected + row * width, a.shared + row * width, scale, width);
  });
}

}  // namespace baton
