// All weights of a file, looked at: those that are not numbers, and how large the others are.
#ifndef BATON_ENGINE_INSPECT_VALUE_SCAN_H_
#define BATON_ENGINE_INSPECT_VALUE_SCAN_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/thread_pool.h"
#include "engine/gguf/gguf_file.h"
#include "engine/gguf/problem.h"

namespace baton {

// Statistics of a tensor are of so many weights, spread evenly over it; of all in smaller ones.
// Every scale and float is checked, but to dequantize every weight would take several times as long
// as to read it.
inline constexpr uint64_t kSampledWeights = uint64_t{1} << 17;

struct ValueStatistics {
  uint64_t weight_count = 0;   // of the tensor
  uint64_t sampled_count = 0;  // weights that the following is of; 0: nothing was looked at
  uint64_t zero_blocks = 0;    // quant blocks (weights, of float types) that are all zeros
  double least = 0;
  double most = 0;
  double root_mean_square = 0;
};

// Called between pieces with the bytes done so far, on the calling thread. The scan ends when it
// returns false.
using ScanProgress = std::function<bool(uint64_t bytes_done, uint64_t bytes_total)>;

// One for each tensor of the file, whose extents must be sound; those that nothing multiplies with
// are passed over. Adds a problem (kValue) for each of the first blocks of a tensor that are not
// finite. The result does not depend on the number of threads. Errors: those of reading the file;
// Cancelled.
absl::StatusOr<std::vector<ValueStatistics>> ScanValues(const GgufFile& file, ThreadPool& pool,
                                                        const ScanProgress& progress,
                                                        ProblemList* problems);

}  // namespace baton

#endif  // BATON_ENGINE_INSPECT_VALUE_SCAN_H_
