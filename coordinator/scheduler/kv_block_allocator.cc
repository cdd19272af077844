#include "coordinator/scheduler/kv_block_allocator.h"

#include <numeric>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/pipeline/local_stage.h"

namespace baton {

KvBlockAllocator::KvBlockAllocator(int32_t block_count) : free_(block_count), taken_(block_count) {
  std::iota(free_.rbegin(), free_.rend(), 0);
}

absl::Status KvBlockAllocator::Extend(int64_t position_count, std::vector<int32_t>& table) {
  const int64_t needed = (position_count + kKvBlockTokens - 1) / kKvBlockTokens;
  const int64_t missing = needed - static_cast<int64_t>(table.size());
  if (missing > free_count()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the KV cache is full: ", position_count, " positions need ", missing,
                     " more blocks, and ", free_count(), " of ", block_count(), " are free"));
  }
  for (int64_t i = 0; i < missing; ++i) {
    table.push_back(free_.back());
    taken_[free_.back()] = true;
    free_.pop_back();
  }
  return absl::OkStatus();
}

void KvBlockAllocator::Free(absl::Span<const int32_t> blocks) {
  for (const int32_t block : blocks) {
    CHECK(block >= 0 && block < block_count() && taken_[block]);
    taken_[block] = false;
    free_.push_back(block);
  }
}

}  // namespace baton
