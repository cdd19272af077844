// A stage without a model, for tests of what lies between stages: its hidden rows are a function of
// tokens, positions and layers that any wrong order, loss or mixing of rows changes.
#ifndef BATON_WORKER_FAKE_STAGE_H_
#define BATON_WORKER_FAKE_STAGE_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/pipeline/stage.h"

namespace baton {

struct FakeStageOptions {
  StageRole role = {};
  int width = 8;
  int vocabulary_size = 100;
  std::chrono::milliseconds compute_time{0};
  int32_t poison_token = -1;   // a span with this token fails, as if a hidden row were not finite
  int32_t refused_token = -1;  // a batch with this token fails as a whole
  int poison_layer = 0;        // both in the stage that has this layer
  std::function<void(const Batch&)> on_forward = nullptr;
  std::function<void(int64_t count)> on_shared_logits = nullptr;
};

class FakeStage : public Stage {
 public:
  explicit FakeStage(FakeStageOptions options) : options_(std::move(options)) {}

  const StageRole& role() const override { return options_.role; }

  absl::StatusOr<StageOutput> Forward(const Batch& batch,
                                      const std::vector<OutputSpec>& outputs) override {
    if (options_.on_forward) options_.on_forward(batch);
    Compute();
    StageOutput output;
    output.failures = batch.failures;
    for (size_t i = 0; i < batch.spans.size(); ++i) {
      if (Has(batch.spans[i], options_.refused_token)) return absl::InvalidArgumentError("refused");
      if (!Has(batch.spans[i], options_.poison_token)) continue;
      output.failures.push_back({static_cast<int32_t>(i), absl::InternalError("not finite")});
    }
    std::vector<float> hidden = batch.hidden;
    if (options_.role.embedding) hidden = Embed(batch);
    for (int layer = options_.role.layers.begin; layer < options_.role.layers.end; ++layer) {
      for (size_t i = 0; i < hidden.size(); ++i) {
        hidden[i] = hidden[i] * 0.5f + static_cast<float>(layer + i % options_.width);
      }
    }
    if (options_.role.head) {
      output.outputs = Output(batch, hidden, outputs);
      for (const SpanFailure& failed : output.failures) {
        output.outputs[failed.span] = SpanOutput();
        output.outputs[failed.span].status = failed.status;
      }
      if (options_.role.shared_logits > 0) {
        const absl::Status shared = ShareHead(batch, hidden, output);
        if (!shared.ok()) return shared;
      }
    } else {
      output.hidden = std::move(hidden);
    }
    return output;
  }

  void SetHeadPartner(HeadPartner* partner) override { partner_ = partner; }
  void SetBetweenProducts(std::function<void()> visit) override {
    between_products_ = std::move(visit);
  }

  // Each row's first value, and ascending from it: the likeliest are the last.
  absl::StatusOr<HeadShare> SharedLogits(const HeadRequest& request) override {
    if (options_.on_shared_logits) options_.on_shared_logits(request.count);
    const int shared = options_.role.shared_logits;
    HeadShare share;
    for (int64_t row = 0; row < request.count; ++row) {
      for (int i = 0; i < shared; ++i) {
        if (request.candidates > 0 && i < shared - request.candidates) continue;
        share.logits.push_back(request.rows[row * options_.width] + static_cast<float>(i));
        if (request.candidates > 0) share.ids.push_back(i);
      }
    }
    return share;
  }

  StageStats Stats() const override {
    return {.weight_bytes = 1000u * options_.role.layers.size(),
            .read_bytes = 1000u * options_.role.layers.size(),
            .resident_bytes = 1};
  }

 private:
  void Compute() const {
    const auto end = std::chrono::steady_clock::now() + options_.compute_time;
    do {
      if (between_products_) between_products_();
      if (options_.compute_time.count() > 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    } while (std::chrono::steady_clock::now() < end);
  }

  // Has the outputs wait for the other stage's logits of each span's last row, every second time
  // for the last two alone, and checks these: they change nothing.
  absl::Status ShareHead(const Batch& batch, const std::vector<float>& hidden,
                         StageOutput& output) const {
    std::map<int64_t, HeadShare> expected;  // by request
    const int shared = options_.role.shared_logits;
    size_t end = 0;
    for (const Span& span : batch.spans) {
      end += span.tokens.size() * options_.width;
      const float* row = hidden.data() + end - options_.width;
      const int32_t candidates = batch.step % 2 == 0 ? 0 : 2;
      const auto request = partner_->Begin({1, {row, row + options_.width}, candidates});
      if (!request.ok()) return request.status();
      HeadShare& share = expected[*request];
      for (int i = candidates > 0 ? shared - candidates : 0; i < shared; ++i) {
        share.logits.push_back(row[0] + static_cast<float>(i));
        if (candidates > 0) share.ids.push_back(i);
      }
    }
    output.finish = [this, expected,
                     outputs =
                         std::move(output.outputs)]() -> absl::StatusOr<std::vector<SpanOutput>> {
      for (const auto& [request, wanted] : expected) {
        const absl::StatusOr<HeadShare> share = partner_->Finish(request);
        if (!share.ok()) return share.status();
        if (share->logits != wanted.logits || share->ids != wanted.ids) {
          return absl::InternalError("mixed up");
        }
      }
      return outputs;
    };
    output.outputs.clear();
    return absl::OkStatus();
  }

  bool Has(const Span& span, int32_t token) const {
    const LayerRange& layers = options_.role.layers;
    if (options_.poison_layer < layers.begin || options_.poison_layer >= layers.end) return false;
    return std::find(span.tokens.begin(), span.tokens.end(), token) != span.tokens.end();
  }

  std::vector<float> Embed(const Batch& batch) const {
    std::vector<float> hidden;
    for (const Span& span : batch.spans) {
      for (int row = 0; row < span.row_count(); ++row) {
        for (int i = 0; i < options_.width; ++i) {
          hidden.push_back(
              static_cast<float>(span.tokens[row] * 31 + span.first_position + row + i));
        }
      }
    }
    return hidden;
  }

  std::vector<SpanOutput> Output(const Batch& batch, const std::vector<float>& hidden,
                                 const std::vector<OutputSpec>& outputs) const {
    std::vector<SpanOutput> result;
    size_t end = 0;
    for (size_t s = 0; s < batch.spans.size(); ++s) {
      end += batch.spans[s].tokens.size() * options_.width;
      const float last = hidden[end - options_.width];
      SpanOutput out;
      if (outputs[s].kind == OutputSpec::Kind::kSample) {
        const int32_t token = static_cast<int32_t>(last * 16) % options_.vocabulary_size;
        out.samples.push_back({.token = token, .logprob = last, .top_logprobs = {}});
        if (outputs[s].return_logits) out.logits.assign(options_.vocabulary_size, last);
      }
      for (const int32_t target : outputs[s].targets) out.scores.push_back(last + target);
      result.push_back(std::move(out));
    }
    return result;
  }

  const FakeStageOptions options_;
  HeadPartner* partner_ = nullptr;
  std::function<void()> between_products_;
};

}  // namespace baton

#endif  // BATON_WORKER_FAKE_STAGE_H_
