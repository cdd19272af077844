#include "engine/pipeline/output_head.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/kernels/isa.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using ::testing::HasSubstr;

constexpr int kWidth = 64;
constexpr int kVocabulary = 560;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Gives what it is told to, or what another head computes.
class FakePartner : public HeadPartner {
 public:
  absl::StatusOr<int64_t> Begin(HeadRequest asked) override {
    request = std::move(asked);
    if (head != nullptr) share = *head->SharedLogits(request);
    return 0;
  }
  absl::StatusOr<HeadShare> Finish(int64_t) override { return share; }

  OutputHead* head = nullptr;
  HeadRequest request;
  HeadShare share;
};

class OutputHeadTest : public ::testing::Test {
 protected:
  OutputHeadTest() : norm_{std::vector<float>(kWidth, 1.0f), {}} {
    spec_.width = kWidth;
    spec_.vocabulary_size = kVocabulary;
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    weights_.resize(kWidth * kVocabulary);
    for (float& weight : weights_) weight = normal(random);
    rows_.resize(3 * kWidth);
    for (float& value : rows_) value = normal(random);
  }

  // Of the stage with the head, or of the one that has shared logits alone.
  std::unique_ptr<OutputHead> Make(bool is_last, int32_t shared) {
    roles_.push_back({{3, 5}, false, is_last, shared});
    const int64_t first = is_last ? shared : 0;
    const int64_t count = is_last ? kVocabulary - shared : shared;
    absl::StatusOr<PackedMatrix> matrix =
        PackedMatrix::Create(TensorType::kF32, count, kWidth, ActivationMode::kInt8);
    EXPECT_TRUE(matrix.ok()) << matrix.status();
    matrix->PackRows(0, count, reinterpret_cast<const uint8_t*>(&weights_[first * kWidth]));
    return std::make_unique<OutputHead>(spec_, roles_.back(), KernelsFor(Isa::kScalar), pool_,
                                        norm_, *std::move(matrix));
  }

  // Of spans of one row each, which are the first of rows_.
  std::vector<SpanOutput> Run(OutputHead& head, const std::vector<OutputSpec>& specs) {
    Batch batch;
    StepRows step;
    for (size_t i = 0; i < specs.size(); ++i) {
      batch.spans.push_back({{1}, 10 + static_cast<int32_t>(i), {}});
      StepSpan span;
      span.first_row = static_cast<int64_t>(i);
      span.row_count = specs[i].kind == OutputSpec::Kind::kNone ? 0 : 1;
      step.spans.push_back(span);
    }
    step.row_count = static_cast<int64_t>(specs.size());
    absl::StatusOr<StageOutput> output =
        head.Run(batch, step, std::vector<absl::Status>(specs.size()), rows_.data(), specs);
    EXPECT_TRUE(output.ok()) << output.status();
    if (!output->finish) return std::move(output->outputs);
    absl::StatusOr<std::vector<SpanOutput>> outputs = output->finish();
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    return *std::move(outputs);
  }

  static OutputSpec Sample(int32_t top_k, float temperature = 1) {
    OutputSpec spec;
    spec.kind = OutputSpec::Kind::kSample;
    spec.sample.params = {.temperature = temperature, .top_k = top_k};
    return spec;
  }
  static OutputSpec WithLogits(OutputSpec spec) {
    spec.return_logits = true;
    return spec;
  }

  ModelSpec spec_;
  std::deque<StageRole> roles_;
  ThreadPool pool_{1};
  Norm norm_;
  std::vector<float> weights_;  // [kVocabulary][kWidth]
  std::vector<float> rows_;     // [3][kWidth]
};

TEST_F(OutputHeadTest, SharedLogitsWantRowsOfTheModel) {
  const auto head = Make(/*is_last=*/false, 5);
  const auto request = [](int64_t floats, int64_t count, int32_t candidates = 0) {
    return HeadRequest{count, std::vector<float>(floats, 0.5f), candidates};
  };
  const auto ask = [&](auto... what) {
    return std::string(head->SharedLogits(request(what...)).status().message());
  };
  EXPECT_EQ(head->SharedLogits(request(2 * 64, 2))->logits.size(), 10u);
  EXPECT_EQ(head->SharedLogits(request(2 * 64, 2, 5))->ids.size(), 10u);
  EXPECT_EQ(ask(64, 2),
            "a stage with 5 shared logits was asked for those of 2 rows in 64 floats, 0 candidates "
            "of each");
  EXPECT_THAT(ask(64, 1, 6), HasSubstr(" 6 candidates"));
  const auto most = Make(/*is_last=*/false, 300)->SharedLogits(request(64, 1, 257));
  EXPECT_THAT(std::string(most.status().message()), HasSubstr(" 257 candidates"));
  EXPECT_THAT(ask(64, 1, -1), HasSubstr(" -1 candidates"));
  EXPECT_THAT(ask(0, 0), HasSubstr("of 0 rows"));
  EXPECT_THAT(ask(33 * 64, 33), HasSubstr("of 33 rows"));
  EXPECT_THAT(std::string(Make(true, 5)->SharedLogits(request(64, 1)).status().message()),
              HasSubstr("0 shared logits"));
}

TEST_F(OutputHeadTest, CandidatesAreTheLikeliestSharedLogits) {
  const auto head = Make(/*is_last=*/false, 200);
  HeadRequest request = {2, {rows_.begin(), rows_.begin() + 2 * kWidth}, 0};
  request.rows[kWidth] = std::numeric_limits<float>::infinity();
  const std::vector<float> all = head->SharedLogits(request)->logits;
  request.candidates = 7;
  const absl::StatusOr<HeadShare> share = head->SharedLogits(request);
  ASSERT_TRUE(share.ok()) << share.status();
  ASSERT_EQ(share->logits.size(), 14u);
  ASSERT_EQ(share->ids.size(), 14u);
  std::vector<float> expected(all.begin(), all.begin() + 200);
  std::sort(expected.rbegin(), expected.rend());
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(share->logits[i], expected[i]);
    EXPECT_EQ(share->logits[i], all[share->ids[i]]);
    EXPECT_TRUE(std::isnan(share->logits[7 + i]));
  }
}

// Whoever has the likelier half, and whether candidates are sent or all.
TEST_F(OutputHeadTest, ASharedHeadSaysWhatAWholeOneSays) {
  const auto whole = Make(/*is_last=*/true, 0);
  const auto expected = Run(*whole, {Sample(40), WithLogits(Sample(40)), Sample(1, 0)});
  for (const int32_t shared : {1, 41, 280, kVocabulary - 1}) {
    const auto helper = Make(false, shared);
    const auto last = Make(true, shared);
    FakePartner partner;
    partner.head = helper.get();
    last->SetPartner(&partner);
    for (const OutputSpec& second : {Sample(40), WithLogits(Sample(40))}) {
      const auto got = Run(*last, {Sample(40), second, Sample(1, 0)});
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_EQ(got[i].samples[0].token, expected[i].samples[0].token) << shared;
      }
      if (second.return_logits) {
        EXPECT_EQ(got[1].logits, expected[1].logits) << shared;
      }
    }
  }
}

// Rows of the matrix that are the same give the same logits.
TEST_F(OutputHeadTest, OfEqualsTheLowerIdIsChosenInWhateverPartItIs) {
  const auto whole = Make(/*is_last=*/true, 0);
  const int32_t best = Run(*whole, {Sample(1, 0)})[0].samples[0].token;
  for (const std::pair<int, int>& equals : {std::pair{7, 9}, {9, 300}, {300, 301}}) {
    const float* row = &weights_[best * kWidth];
    const std::vector<float> copy(row, row + kWidth);
    std::vector<float> kept = weights_;
    std::fill(weights_.begin() + best * kWidth, weights_.begin() + (best + 1) * kWidth, 0.0f);
    for (const int id : {equals.first, equals.second}) {
      std::copy(copy.begin(), copy.end(), weights_.begin() + id * kWidth);
    }
    const auto helper = Make(false, 200);
    const auto last = Make(true, 200);
    FakePartner partner;
    partner.head = helper.get();
    last->SetPartner(&partner);
    for (const int32_t top_k : {1, 2, 40}) {
      EXPECT_EQ(Run(*last, {Sample(top_k, 0)})[0].samples[0].token, equals.first);
    }
    EXPECT_EQ(Run(*last, {Sample(1)})[0].samples[0].token, equals.first);
    weights_ = std::move(kept);
  }
}

TEST_F(OutputHeadTest, AShareThatIsNotFiniteFailsItsSpan) {
  const auto head = Make(/*is_last=*/true, 200);
  FakePartner partner;
  head->SetPartner(&partner);
  const absl::Status not_finite = absl::InternalError(
      "the stage of layers 3 to 4 computed logits that are not finite at position 10");
  partner.share = {{1e6f, 0.0f}, {199, 3}};
  EXPECT_EQ(Run(*head, {Sample(2)})[0].samples[0].token, 199);
  partner.share = {{kNan, kNan}, {0, 0}};
  EXPECT_EQ(Run(*head, {Sample(2)})[0].status, not_finite);
  partner.share = {std::vector<float>(200), {}};
  EXPECT_TRUE(Run(*head, {WithLogits(Sample(2))})[0].status.ok());
  partner.share.logits[77] = kNan;
  EXPECT_EQ(Run(*head, {WithLogits(Sample(2))})[0].status, not_finite);
}

TEST_F(OutputHeadTest, ItsOwnPartMustBeFiniteToo) {
  weights_[300 * kWidth] = std::numeric_limits<float>::infinity();
  const auto head = Make(/*is_last=*/true, 200);
  FakePartner partner;
  head->SetPartner(&partner);
  partner.share = {{0.0f, 0.0f}, {199, 3}};
  EXPECT_FALSE(Run(*head, {Sample(2)})[0].status.ok());
  partner.share = {std::vector<float>(200), {}};
  EXPECT_FALSE(Run(*head, {WithLogits(Sample(2))})[0].status.ok());
}

TEST_F(OutputHeadTest, CandidatesAreAskedForWhereTheyAreFew) {
  const auto head = Make(/*is_last=*/true, 300);
  FakePartner partner;
  const auto asked = [&partner](OutputHead& head, const std::vector<OutputSpec>& specs) {
    head.SetPartner(&partner);
    Batch batch;
    StepRows step = {static_cast<int64_t>(specs.size()), {}};
    for (size_t i = 0; i < specs.size(); ++i) {
      batch.spans.push_back({{1}, 0, {}});
      StepSpan span;
      span.row_count = specs[i].kind == OutputSpec::Kind::kNone ? 0 : 1;
      step.spans.push_back(span);
    }
    const std::vector<float> rows(specs.size() * kWidth, 0.5f);
    EXPECT_TRUE(
        head.Run(batch, step, std::vector<absl::Status>(specs.size()), rows.data(), specs).ok());
    return partner.request.candidates;
  };
  OutputSpec score;
  score.kind = OutputSpec::Kind::kScore;
  score.targets = {1};
  EXPECT_EQ(asked(*head, {Sample(1, 0), Sample(40, 0)}), 1);
  EXPECT_EQ(asked(*head, {Sample(40, 0), Sample(9)}), 9);
  EXPECT_EQ(asked(*head, {Sample(256), Sample(9)}), 256);
  EXPECT_EQ(asked(*head, {Sample(257), Sample(9)}), 0);
  EXPECT_EQ(asked(*head, {WithLogits(Sample(9)), Sample(9)}), 0);
  EXPECT_EQ(asked(*head, {Sample(9), score}), 0);
  EXPECT_EQ(asked(*head, {Sample(9), OutputSpec()}), 9);
  const auto most = Make(true, kVocabulary - 5);
  EXPECT_EQ(asked(*most, {Sample(5)}), 5);
  EXPECT_EQ(asked(*most, {Sample(6)}), 0);
}

}  // namespace
}  // namespace baton
