// What a model must be beyond a file whose header and data fit together: of a known architecture
// with all its tensors in the right shapes, hyper-parameters within their bounds, a tokenizer that
// does not contradict itself. The same checks guard every load and make up `inspect`.
#ifndef BATON_ENGINE_INSPECT_CHECK_MODEL_H_
#define BATON_ENGINE_INSPECT_CHECK_MODEL_H_

#include <optional>

#include "absl/status/statusor.h"
#include "engine/gguf/gguf_file.h"
#include "engine/gguf/problem.h"
#include "engine/model/model_spec.h"

namespace baton {

// Adds all problems that can be told. The spec, where the model has one that can be run; a file
// with a vocabulary alone has none, and that is no problem.
std::optional<ModelSpec> DiagnoseModel(const GgufFile& file, ProblemList* problems);

// For a load: the first problem is the error, after the file's name. A tokenizer that is merely
// unknown is left to whoever wants to tokenize.
absl::StatusOr<ModelSpec> CheckModel(const GgufFile& file);

}  // namespace baton

#endif  // BATON_ENGINE_INSPECT_CHECK_MODEL_H_
