#include "engine/model/weights.h"

#include <optional>
#include <string>
#include <vector>

#include "engine/quant/dequantize.h"
#include "engine/testing/model_maker.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

class WeightLoaderTest : public testing::Test {
 protected:
  WeightLoaderTest() {
    ModelOptions model;
    model.width = 256;
    model.feed_forward_size = 4096;  // matrices of several pieces
    model.vocabulary_size = 1003;    // and a group of rows that is not full
    model.type = TensorType::kQ8_0;
    file_ = *GgufFile::Read(*MakeModel(model, testing::TempDir()));
    spec_ = *ModelSpec::Read(*file_);
  }

  std::vector<float> FromFile(const TensorSlice& slice) const {
    std::vector<uint8_t> bytes(slice.bytes());
    EXPECT_TRUE(file_->file()->ReadAt(slice.offset(), bytes.data(), bytes.size()).ok());
    std::vector<float> values(slice.rows * slice.columns);
    Dequantize(slice.tensor.type, bytes.data(), values.size(), values.data());
    return values;
  }

  std::vector<float> FromMatrix(const PackedMatrix& matrix) const {
    std::vector<float> values(matrix.rows() * matrix.columns());
    for (int64_t row = 0; row < matrix.rows(); ++row) {
      matrix.DequantizeRow(row, values.data() + row * matrix.columns());
    }
    return values;
  }

  std::optional<GgufFile> file_;
  ModelSpec spec_;
  ThreadPool pool_{3};
  Arena arena_;
  WeightLoader loader_{*file_, pool_, arena_, ActivationMode::kInt8};
};

TEST_F(WeightLoaderTest, EveryTensorComesWholeAndNothingElse) {
  const uint64_t read_before = file_->file()->bytes_read();
  LayerWeights layer;
  PackedMatrix output;
  std::vector<float> none;
  loader_.AddVector(TensorSlice(), &none);
  ASSERT_TRUE(loader_.AddLayer(spec_.layers[1], &layer).ok());
  ASSERT_TRUE(loader_.AddMatrix(spec_.output, &output).ok());
  uint64_t last = 0;
  const absl::Status loaded = loader_.Load([&](uint64_t done) {
    EXPECT_GE(done, last);
    last = done;
    return true;
  });
  ASSERT_TRUE(loaded.ok()) << loaded;
  uint64_t bytes = spec_.output.bytes();
  VisitSlices(spec_.layers[1], [&](const TensorSlice& slice) { bytes += slice.bytes(); });
  EXPECT_EQ(last, bytes);
  EXPECT_EQ(loader_.bytes_read(), bytes);
  EXPECT_EQ(file_->file()->bytes_read() - read_before, bytes);

  EXPECT_TRUE(none.empty());
  EXPECT_EQ(layer.attention_norm.weight, FromFile(spec_.layers[1].attention_norm.weight));
  EXPECT_EQ(FromMatrix(layer.key.weight), FromFile(spec_.layers[1].key.weight));
  EXPECT_EQ(FromMatrix(layer.experts[0].down.weight),
            FromFile(spec_.layers[1].experts[0].down.weight));
  EXPECT_EQ(FromMatrix(output), FromFile(spec_.output));
}

TEST_F(WeightLoaderTest, LoadReadsWhatWasAddedSince) {
  PackedMatrix key, value;
  ASSERT_TRUE(loader_.AddMatrix(spec_.layers[0].key.weight, &key).ok());
  ASSERT_TRUE(loader_.Load().ok());
  ASSERT_TRUE(loader_.AddMatrix(spec_.layers[0].value.weight, &value).ok());
  ASSERT_TRUE(loader_.Load().ok());
  EXPECT_EQ(FromMatrix(value), FromFile(spec_.layers[0].value.weight));
  EXPECT_EQ(loader_.bytes_read(), 2 * spec_.layers[0].key.weight.bytes());
}

TEST_F(WeightLoaderTest, ACancelledLoadReadsNoMoreThanItsPiecesUnderWay) {
  const uint64_t read_before = file_->file()->bytes_read();
  ThreadPool alone(1);
  WeightLoader loader(*file_, alone, arena_, ActivationMode::kInt8);
  std::vector<LayerWeights> layers(spec_.layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    ASSERT_TRUE(loader.AddLayer(spec_.layers[i], &layers[i]).ok());
  }
  int calls = 0;
  const absl::Status status = loader.Load([&](uint64_t) { return ++calls < 3; });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(calls, 3);
  EXPECT_LE(file_->file()->bytes_read() - read_before, 3 * (uint64_t{256} << 10));
}

}  // namespace
}  // namespace baton
