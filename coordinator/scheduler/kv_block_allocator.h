// Who holds which KV block. The coordinator alone decides, for all stages at once: block ids are
// the same on every stage.
#ifndef BATON_COORDINATOR_SCHEDULER_KV_BLOCK_ALLOCATOR_H_
#define BATON_COORDINATOR_SCHEDULER_KV_BLOCK_ALLOCATOR_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace baton {

// Not thread-safe.
class KvBlockAllocator {
 public:
  // Ids are [0, block_count), given out from the lowest on; what was freed last is taken first.
  explicit KvBlockAllocator(int32_t block_count);

  int32_t block_count() const { return static_cast<int32_t>(taken_.size()); }
  int32_t free_count() const { return static_cast<int32_t>(free_.size()); }

  // Appends blocks to `table` until it serves positions [0, position_count). ResourceExhausted,
  // with what was asked for and what is free, changes nothing.
  absl::Status Extend(int64_t position_count, std::vector<int32_t>& table);

  // Gives back blocks that are taken.
  void Free(absl::Span<const int32_t> blocks);

 private:
  std::vector<int32_t> free_;  // the next one to be taken is the last
  std::vector<bool> taken_;    // by id
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_KV_BLOCK_ALLOCATOR_H_
