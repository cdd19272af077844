// What is wrong with a file, or worth knowing about it. A load stops at the first thing that is
// wrong; `inspect` tells all that can be told.
#ifndef BATON_ENGINE_GGUF_PROBLEM_H_
#define BATON_ENGINE_GGUF_PROBLEM_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace baton {

enum class ProblemKind {
  kHeader,          // magic, version, counts, metadata: what follows cannot be found
  kShard,           // parts of a model that do not belong together
  kTensorTable,     // an entry whose name, shape or offset cannot be
  kType,            // the type of a tensor
  kExtent,          // the bytes that a tensor needs, and those that the file gives it
  kArchitecture,    // what computes the model
  kHyperparameter,  // a key of the model
  kTensor,          // one that the architecture needs and lacks, or of another shape
  kUnused,          // a tensor or key that the architecture does not use
  kTokenizer,
  kChatTemplate,
  kValue,  // weights that are not numbers
};

// As in "extent".
const char* ProblemKindName(ProblemKind kind);

enum class Severity {
  kNote,     // harmless
  kUnknown,  // sound as far as understood, but not understood here
  kBroken,
};

struct Problem {
  ProblemKind kind;
  Severity severity;
  // Its message is one sentence that names the thing, what was found and what was expected, but not
  // the file.
  absl::Status status;
  std::string tensor = {};              // its name; empty where it is about none
  std::optional<uint64_t> offset = {};  // bytes from the start of the file
};

// `status` with `context`, such as the file's name, in front of its message.
absl::Status Within(absl::string_view context, const absl::Status& status);

// A problem that is known as a status: FailedPrecondition stands for what is not supported.
Problem MakeProblem(ProblemKind kind, absl::Status status, std::string tensor = "",
                    std::optional<uint64_t> offset = std::nullopt);
Problem MakeNote(ProblemKind kind, std::string message, std::string tensor = "",
                 std::optional<uint64_t> offset = std::nullopt);

// Problems that are kept; the rest is counted. More than the tensors of most models, and little
// memory whatever a file holds.
inline constexpr size_t kMaxProblems = 1000;

// In the order in which they were found. Not thread-safe.
class ProblemList {
 public:
  void Add(Problem problem);

  const std::vector<Problem>& problems() const { return problems_; }
  size_t dropped_count() const { return dropped_count_; }
  bool Has(ProblemKind kind) const;
  // The highest severity; kNote where there is no problem.
  Severity worst() const { return worst_; }
  // The first problem that is more than a note; OK where there is none.
  absl::Status FirstError() const;

 private:
  std::vector<Problem> problems_;
  size_t dropped_count_ = 0;
  Severity worst_ = Severity::kNote;
};

}  // namespace baton

#endif  // BATON_ENGINE_GGUF_PROBLEM_H_
