// Who holds which KV block of one cache group.
//
// The coordinator alone decides, for all stages at once: block ids are the same on every stage.
// Blocks are counted by reference, so that sequences with a common beginning share it. A block
// whose content is known, as a node of the tree of prefixes, keeps it when nobody holds it, until
// the memory is needed for something else.
//
// A block that is given back may be given away at once, even while a step in flight still uses it:
// stages run steps strictly in order, so the new owner's steps come later, and overwrite positions
// before they read them. For the same reason a block of the cache can be shared at once.
#ifndef BATON_COORDINATOR_SCHEDULER_KV_BLOCKS_H_
#define BATON_COORDINATOR_SCHEDULER_KV_BLOCKS_H_

#include <cstdint>
#include <list>
#include <vector>

#include "coordinator/scheduler/prefix_tree.h"

namespace baton {

// Blocks that serve positions [0, position_count).
int32_t BlocksFor(int64_t position_count);
// Positions that so many blocks serve.
int64_t PositionsIn(int32_t block_count);

// Not thread-safe.
class KvBlocks {
 public:
  struct Taken {
    int32_t id;
    PrefixNode* forgotten;  // what the block held until now, known to the cache; may be null
  };

  // Ids are [0, block_count).
  explicit KvBlocks(int32_t block_count);

  int32_t block_count() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t free_count() const { return static_cast<int32_t>(free_.size()); }  // hold nothing
  int32_t cached_count() const {
    return static_cast<int32_t>(unused_.size());
  }  // nobody's, findable
  int32_t available_count() const { return free_count() + cached_count(); }

  // A block with one reference: a free one, or else the cached one that was used longest ago.
  // REQUIRES: available_count() > 0.
  Taken Take();
  // One reference more, to a block that is held or cached.
  void Share(int32_t id);
  // One less. Without any, a block whose content is known is cached, another is free.
  void Release(int32_t id);
  // From now on the content is known.
  void Remember(int32_t id, PrefixNode* node) { blocks_[id].node = node; }

 private:
  struct Block {
    int32_t references = 0;
    PrefixNode* node = nullptr;           // null: its content is not known
    std::list<int32_t>::iterator unused;  // where it is cached
  };

  std::vector<Block> blocks_;  // by id
  std::vector<int32_t> free_;  // the next one to be taken is the last
  std::list<int32_t> unused_;  // cached; the one to be taken next is first
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_KV_BLOCKS_H_
