// What a file is, and whether it is sound.
#ifndef BATON_ENGINE_INSPECT_INSPECTION_H_
#define BATON_ENGINE_INSPECT_INSPECTION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/thread_pool.h"
#include "engine/gguf/gguf_file.h"
#include "engine/gguf/problem.h"
#include "engine/inspect/value_scan.h"
#include "engine/model/model_spec.h"
#include "engine/quant/types.h"

namespace baton {

enum class Verdict {
  kSound,
  kBroken,
  kUnknown,  // sound as far as understood, but its architecture, a type or its tokenizer is not
};

// All tensors of one type together.
struct TypeTotal {
  TensorType type;
  uint64_t tensor_count = 0;
  uint64_t elements = 0;
  uint64_t bytes = 0;
};

struct Inspection {
  std::string path;               // as it was given
  std::optional<GgufFile> file;   // nothing where its header cannot be read
  std::optional<ModelSpec> spec;  // nothing where there is no model that can be run
  std::string chat_family;        // of its chat template; empty: none, or not recognised
  ProblemList problems;
  std::vector<ValueStatistics> values;  // of each tensor; empty: nobody has looked at the data

  Verdict verdict() const;
  uint64_t file_bytes() const;  // of all shards
  uint64_t parameter_count() const;
  // Those with the most bytes first.
  std::vector<TypeTotal> TypeTotals() const;
};

// Reads headers alone. Every error is a problem of the result.
Inspection Inspect(const std::string& path);

// Looks at all tensor data of an inspected file too, unless its problems leave open where the data
// is: then a note says so. Errors as of ScanValues.
absl::Status InspectValues(ThreadPool& pool, const ScanProgress& progress, Inspection* inspection);

}  // namespace baton

#endif  // BATON_ENGINE_INSPECT_INSPECTION_H_
