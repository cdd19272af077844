#include "coordinator/scheduler/kv_blocks.h"

#include <numeric>

#include "engine/base/check.h"
#include "engine/pipeline/local_stage.h"

namespace baton {

int32_t BlocksFor(int64_t position_count) {
  return static_cast<int32_t>((position_count + kKvBlockTokens - 1) / kKvBlockTokens);
}

int64_t PositionsIn(int32_t block_count) { return int64_t{block_count} * kKvBlockTokens; }

KvBlocks::KvBlocks(int32_t block_count) : blocks_(block_count), free_(block_count) {
  std::iota(free_.rbegin(), free_.rend(), 0);
}

KvBlocks::Taken KvBlocks::Take() {
  Taken taken = {0, nullptr};
  if (free_.empty()) {
    taken.id = unused_.front();
    unused_.pop_front();
    taken.forgotten = blocks_[taken.id].node;
  } else {
    taken.id = free_.back();
    free_.pop_back();
  }
  blocks_[taken.id] = Block();
  blocks_[taken.id].references = 1;
  return taken;
}

void KvBlocks::Share(int32_t id) {
  Block& block = blocks_[id];
  if (block.references++ == 0) unused_.erase(block.unused);
}

void KvBlocks::Release(int32_t id) {
  Block& block = blocks_[id];
  CHECK(block.references > 0);
  if (--block.references > 0) return;
  if (block.node == nullptr) {
    free_.push_back(id);
  } else {
    block.unused = unused_.insert(unused_.end(), id);
  }
}

}  // namespace baton
