#include "tools/quantize_file.h"

#include <errno.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/gguf/gguf_writer.h"
#include "engine/gguf/shards.h"
#include "engine/quant/dequantize.h"
#include "engine/quant/quantize.h"

namespace baton {
namespace {

// Version of the quant blocks' layout that general.quantization_version states.
constexpr uint32_t kQuantizationVersion = 2;

struct RowError {
  double squared_weights = 0.0;
  double squared_error = 0.0;
  float largest_error = 0.0f;
};

RowError MeasureRow(const std::vector<float>& before, const std::vector<float>& after) {
  RowError row;
  for (size_t i = 0; i < before.size(); ++i) {
    const float error = after[i] - before[i];
    row.squared_weights += static_cast<double>(before[i]) * before[i];
    row.squared_error += static_cast<double>(error) * error;
    row.largest_error = std::max(row.largest_error, std::abs(error));
  }
  return row;
}

// One tensor on its way. Threads convert different rows.
class TensorConverter {
 public:
  TensorConverter(const GgufFile& in, const TensorInfo& tensor, TensorType to)
      : in_(in), tensor_(tensor), to_(to) {}

  // Before the first row is converted.
  void Start() { row_errors_.resize(tensor_.row_count()); }

  absl::Status Convert(uint64_t first_row, uint64_t row_count, uint8_t* out) {
    const uint64_t row_bytes = RowBytes(tensor_.type, tensor_.row_elements());
    std::vector<uint8_t> source(row_count * row_bytes);
    RETURN_IF_ERROR(in_.FileOf(tensor_).ReadAt(tensor_.offset + first_row * row_bytes,
                                               source.data(), source.size()));
    std::vector<float> before(tensor_.row_elements());
    std::vector<float> after(tensor_.row_elements());
    for (uint64_t row = 0; row < row_count; ++row) {
      const uint8_t* blocks = source.data() + row * row_bytes;
      Dequantize(tensor_.type, blocks, before.size(), before.data());
      RETURN_IF_ERROR(CheckRow(first_row + row, before));
      if (to_ == tensor_.type) {
        out = std::copy(blocks, blocks + row_bytes, out);
        row_errors_[first_row + row] = MeasureRow(before, before);
        continue;
      }
      Quantize(to_, before.data(), before.size(), out);
      Dequantize(to_, out, after.size(), after.data());
      row_errors_[first_row + row] = MeasureRow(before, after);
      out += RowBytes(to_, before.size());
    }
    return absl::OkStatus();
  }

  // After the last row. Sums in the order of the rows, whichever thread had them.
  QuantizedTensor Finish() {
    QuantizedTensor result;
    result.name = tensor_.name;
    result.shape = tensor_.ShapeText();
    result.from = tensor_.type;
    result.to = to_;
    result.elements = tensor_.elements();
    result.bytes = RowBytes(to_, tensor_.row_elements()) * tensor_.row_count();
    for (const RowError& row : row_errors_) {
      result.squared_weights += row.squared_weights;
      result.squared_error += row.squared_error;
      result.largest_error = std::max(result.largest_error, row.largest_error);
    }
    row_errors_ = {};
    return result;
  }

 private:
  absl::Status CheckRow(uint64_t row, const std::vector<float>& weights) const {
    const bool is_copied = to_ == tensor_.type;
    const auto bad =
        FindUnquantizable(is_copied ? TensorType::kF32 : to_, weights.data(), weights.size());
    if (!bad) return absl::OkStatus();
    const float weight = weights[*bad];
    const char* expected =
        std::isfinite(weight) ? ", which is too large for " : ", expected a finite number for ";
    return absl::InvalidArgumentError(absl::StrCat(in_.path(), ": tensor '", tensor_.name,
                                                   "': element ", row * weights.size() + *bad,
                                                   " is ", weight, expected, TraitsOf(to_).name));
  }

  const GgufFile& in_;
  const TensorInfo& tensor_;
  const TensorType to_;
  std::vector<RowError> row_errors_;
};

void CopyMetadata(const GgufFile& in, const FileType& file_type, GgufWriter* writer) {
  // In an order of their own, so that the same file comes out every time.
  std::map<std::string, const GgufValue*> values;
  for (const auto& [key, value] : in.metadata()) values[key] = &value;
  // What is said anew, and what a model in one file has not.
  for (const char* other :
       {"general.alignment", "general.file_type", "general.quantization_version", kShardIndexKey,
        kShardCountKey, kShardTensorCountKey}) {
    values.erase(other);
  }
  for (const auto& [key, value] : values) writer->Set(key, *value);
  writer->SetU32("general.file_type", file_type.id);
  writer->SetU32("general.quantization_version", kQuantizationVersion);
  if (in.Has("general.alignment")) writer->SetAlignment(static_cast<uint32_t>(in.alignment()));
}

absl::StatusOr<MixContext> ReadMixContext(const GgufFile& in) {
  ASSIGN_OR_RETURN(const std::string architecture, in.Architecture());
  ASSIGN_OR_RETURN(const std::optional<uint32_t> layers,
                   in.GetU32(absl::StrCat(architecture, ".block_count")));
  return MixContext{static_cast<int>(layers.value_or(0)), in.FindTensor("output") == nullptr};
}

}  // namespace

absl::Status QuantizeFile(const GgufFile& in, const std::string& out, const FileType& file_type,
                          int thread_count,
                          const std::function<void(const QuantizedTensor&)>& done) {
  ASSIGN_OR_RETURN(const MixContext context, ReadMixContext(in));
  GgufWriter writer;
  CopyMetadata(in, file_type, &writer);
  std::vector<std::unique_ptr<TensorConverter>> converters;
  for (const TensorInfo& tensor : in.tensors()) {
    const TypeTraits& from = TraitsOf(tensor.type);
    if (!from.is_weight) {
      return absl::FailedPreconditionError(absl::StrCat(
          in.path(), ": tensor '", tensor.name, "' has type ", from.name, ", expected weights"));
    }
    const TensorType to =
        IsQuantizable(tensor.name, tensor.dim_count)
            ? ChooseTensorType(file_type, tensor.name, tensor.row_elements(), context)
            : tensor.type;
    converters.push_back(std::make_unique<TensorConverter>(in, tensor, to));
    TensorConverter* converter = converters.back().get();
    converter->Start();
    writer.AddTensor(tensor.name, to, {tensor.dims.begin(), tensor.dims.begin() + tensor.dim_count},
                     [converter](uint64_t first_row, uint64_t row_count, uint8_t* piece) {
                       return converter->Convert(first_row, row_count, piece);
                     });
  }
  const std::string partial = absl::StrCat(out, ".partial");
  absl::Status status = writer.Write(partial, thread_count, [&](size_t tensor) {
    const QuantizedTensor result = converters[tensor]->Finish();
    if (done != nullptr) done(result);
  });
  if (status.ok() && std::rename(partial.c_str(), out.c_str()) != 0) {
    status = absl::ErrnoToStatus(errno, absl::StrCat("cannot create '", out, "'"));
  }
  if (!status.ok()) std::remove(partial.c_str());
  return status;
}

}  // namespace baton
