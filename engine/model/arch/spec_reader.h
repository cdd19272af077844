// Keys and tensors of a GGUF header as an architecture asks for them: every number against its
// bound, every shape against the hyper-parameters. Remembers what was asked for, so that what is
// left over and would change the result can be told.
#ifndef BATON_ENGINE_MODEL_ARCH_SPEC_READER_H_
#define BATON_ENGINE_MODEL_ARCH_SPEC_READER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/gguf/gguf_file.h"
#include "engine/gguf/problem.h"
#include "engine/model/model_spec.h"

namespace baton {

// A tensor that is missing, or of another shape or a type that nothing multiplies with, goes to
// problems(), and what was asked for is returned in its place: so the rest can be looked at too.
inline constexpr size_t kMaxTensorProblems = 200;  // after so many, it is an error

// Rows [first, first + rows) of several matrices or projections in one tensor.
TensorSlice RowsOf(const TensorSlice& whole, int64_t first, int64_t rows);
LinearSpec RowsOf(const LinearSpec& whole, int64_t first, int64_t rows);

// Keys are given without the architecture's prefix ("block_count"), tensors without ".weight" and
// ".bias". Errors are InvalidArgument, naming key or tensor, found and expected. A key without a
// default must be there.
class SpecReader {
 public:
  // The file must outlive the reader.
  SpecReader(const GgufFile& file, std::string architecture);

  bool Has(absl::string_view key);
  absl::StatusOr<int> Integer(absl::string_view key, int low, int high,
                              std::optional<int> default_value = std::nullopt);
  // One number for all layers, or an array of one per layer.
  absl::StatusOr<std::vector<int>> LayerIntegers(
      absl::string_view key, int layer_count, int low, int high,
      const std::optional<std::vector<int>>& default_values = std::nullopt);
  // Any count of positions from 1 up; more than kMaxContextLength is cut down to it.
  absl::StatusOr<uint32_t> Context(absl::string_view key,
                                   std::optional<uint32_t> default_value = std::nullopt);
  // Finite and above 0.
  absl::StatusOr<float> PositiveFloat(absl::string_view key,
                                      std::optional<float> default_value = std::nullopt);
  // As PositiveFloat, but 0 stands for the default too.
  absl::StatusOr<float> FloatOrZero(absl::string_view key, float default_value);
  // Any finite number.
  absl::StatusOr<float> Float(absl::string_view key, float default_value);
  absl::StatusOr<bool> Bool(absl::string_view key, bool default_value);
  // Which layers have a window: an array of one flag per layer; or a number n, of which each n-th
  // layer has none (0: all have).
  absl::StatusOr<std::vector<bool>> WindowPattern(int layer_count, int default_period);
  absl::StatusOr<std::string> String(absl::string_view key, absl::string_view default_value);

  bool HasTensor(absl::string_view name) const;
  bool HasBias(absl::string_view name) const;
  // `name`.weight as [rows][columns] of a type that products know.
  absl::StatusOr<TensorSlice> Matrix(absl::string_view name, int64_t rows, int64_t columns);
  // `count` of them in one tensor, the rows of all behind each other.
  absl::StatusOr<TensorSlice> Matrices(absl::string_view name, int64_t count, int64_t rows,
                                       int64_t columns);
  // A matrix, and the bias where the file has one.
  absl::StatusOr<LinearSpec> Linear(absl::string_view name, int64_t rows, int64_t columns);
  // One tensor that holds several projections of the same input one after another: one of each
  // count of rows.
  absl::StatusOr<std::vector<LinearSpec>> FusedLinears(absl::string_view name,
                                                       const std::vector<int64_t>& rows,
                                                       int64_t columns);
  // One tensor [experts][rows][columns], one slice per expert; with biases where the file has them.
  absl::StatusOr<std::vector<LinearSpec>> ExpertLinears(absl::string_view name, int experts,
                                                        int64_t rows, int64_t columns);
  // `name`.weight, or `name` where it ends in ".bias", as a vector of floats of any type; or as
  // `runs` of them behind each other.
  absl::StatusOr<TensorSlice> Vector(absl::string_view name, int64_t elements, int64_t runs = 1);
  absl::StatusOr<TensorSlice> OptionalBias(absl::string_view name, int64_t elements,
                                           int64_t runs = 1);
  // A vector, and the bias where the kind has one and the file too.
  absl::StatusOr<NormSpec> Norm(absl::string_view name, int64_t elements, NormKind kind);

  // Rows of the token embedding: the size of the vocabulary, which must agree with the tokenizer's
  // where the file has one.
  absl::StatusOr<int> VocabularySize();

  // InvalidArgument where a model of so many layers with `count` of the `parts` that have slices of
  // their own would take more memory to describe than kMaxDescribedParts allows.
  absl::Status CheckPartCount(int layer_count, int count, absl::string_view parts) const;

  // To problems(), as a note.
  void AddNote(std::string text);

  // Adds to problems() what nobody asked for: keys and tensors that bear on the result as not
  // supported, other tensors as notes.
  void AddUnread(int layer_count);

  const ProblemList& problems() const { return problems_; }

 private:
  std::string FullKey(absl::string_view key);
  absl::StatusOr<TensorSlice> Tensor(const std::string& full_name, int64_t count, int64_t rows,
                                     int64_t columns);
  // `status` as a problem, and a slice of the right shape.
  absl::StatusOr<TensorSlice> Replace(absl::Status status, const TensorSlice& expected);
  void AddUnreadTensor(const TensorInfo& tensor, int layer_count);

  const GgufFile& file_;
  const std::string architecture_;
  std::unordered_set<std::string> asked_keys_;     // with prefix
  std::unordered_set<std::string> asked_tensors_;  // as in the file
  ProblemList problems_;
};

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_ARCH_SPEC_READER_H_
