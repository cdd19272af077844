// A model in several files, from one in one.
#ifndef BATON_ENGINE_TESTING_MODEL_SPLITTER_H_
#define BATON_ENGINE_TESTING_MODEL_SPLITTER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace baton {

// Writes the model at `path` as `count` shards "PREFIX-00001-of-0000N.gguf", as the format's own
// tool does: metadata in the first, tensors in their order, about as many in each. Gives the paths.
absl::StatusOr<std::vector<std::string>> SplitModel(const std::string& path,
                                                    const std::string& prefix, int count);

}  // namespace baton

#endif  // BATON_ENGINE_TESTING_MODEL_SPLITTER_H_
