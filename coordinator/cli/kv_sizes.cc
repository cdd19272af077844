#include "coordinator/cli/kv_sizes.h"

#include <algorithm>
#include <utility>

#include "coordinator/scheduler/kv_blocks.h"
#include "coordinator/scheduler/kv_cache.h"

namespace baton {
namespace {

// The largest of [0, limit] that `fits`, which what is smaller than one that fits does too; 0 where
// none does.
template <typename Fits>
int32_t LargestThat(int32_t limit, const Fits& fits) {
  int32_t low = 0, high = limit;
  while (low < high) {
    const int32_t middle = low + (high - low + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace

KvSizes::KvSizes(std::vector<CacheGroup> groups, std::vector<std::vector<uint64_t>> block_bytes)
    : groups_(std::move(groups)), block_bytes_(std::move(block_bytes)) {}

std::vector<int32_t> KvSizes::Counts(int32_t blocks, int32_t context_length) const {
  const int64_t of_context = std::max(1, BlocksFor(context_length));
  std::vector<int32_t> counts;
  for (const CacheGroup& group : groups_) {
    const int64_t most = KvCache::MostBlocks(group, context_length);
    const int64_t share = (blocks * most + of_context - 1) / of_context;
    counts.push_back(static_cast<int32_t>(std::min<int64_t>(blocks, share)));
  }
  return counts;
}

uint64_t KvSizes::Bytes(int32_t blocks, int32_t context_length) const {
  const std::vector<int32_t> counts = Counts(blocks, context_length);
  uint64_t most = 0;
  for (const std::vector<uint64_t>& block_bytes : block_bytes_) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < counts.size(); ++i) bytes += counts[i] * block_bytes[i];
    most = std::max(most, bytes);
  }
  return most;
}

int32_t KvSizes::BlocksWithin(uint64_t budget, int32_t context_length, int32_t limit) const {
  return LargestThat(limit,
                     [&](int32_t blocks) { return Bytes(blocks, context_length) <= budget; });
}

int32_t KvSizes::ContextWithin(uint64_t budget, int32_t spare, int32_t limit) const {
  const int32_t blocks = LargestThat(BlocksFor(limit), [&](int32_t of_context) {
    return Bytes(of_context + spare, static_cast<int32_t>(PositionsIn(of_context))) <= budget;
  });
  return static_cast<int32_t>(std::min<int64_t>(PositionsIn(blocks), limit));
}

}  // namespace baton
