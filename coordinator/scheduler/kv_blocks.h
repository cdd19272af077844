// Who holds which KV block, and what can be found in it again.
//
// The coordinator alone decides, for all stages at once: block ids are the same on every stage.
// Blocks are counted by reference, so that sequences with a common beginning share it. A full block
// whose content is known can be found again by what it holds (the prefix cache): as a node of a
// tree, by its parent and its tokens. Comparing both in full, there is no hash that could collide.
// One pipeline has one KvBlocks, so model, numeric contract and KV type are the same for all it
// holds.
//
// A block that is given back may be given away at once, even while a step in flight still writes to
// it: stages run steps strictly in order, so the new owner's steps come later and overwrite
// positions before they read them. For the same reason a block of the cache can be shared at once.
#ifndef BATON_COORDINATOR_SCHEDULER_KV_BLOCKS_H_
#define BATON_COORDINATOR_SCHEDULER_KV_BLOCKS_H_

#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

#include "absl/types/span.h"

namespace baton {

// Blocks that serve positions [0, position_count).
int32_t BlocksFor(int64_t position_count);
// Positions that so many blocks serve.
int64_t PositionsIn(int32_t block_count);

// Not thread-safe.
class KvBlocks {
 public:
  // A place in the tree of prefixes: what the first blocks of a sequence hold, all full.
  struct Prefix {
    int32_t token_count = 0;
    uint64_t node = 0;  // of the last of its blocks; 0: the root
  };

  // Ids are [0, block_count).
  explicit KvBlocks(int32_t block_count);

  int32_t block_count() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t free_count() const { return static_cast<int32_t>(free_.size()); }  // hold nothing
  int32_t cached_count() const {
    return static_cast<int32_t>(unused_.size());
  }  // nobody's, findable
  int32_t available_count() const { return free_count() + cached_count(); }

  // Appends blocks to `table` until it serves positions [0, position_count); free ones first, then
  // the cached ones that were used longest ago. False, changing nothing, when there are too few.
  bool Extend(int64_t position_count, std::vector<int32_t>& table);

  // Gives back one reference to each, and empties the table.
  void Release(std::vector<int32_t>& table);

  // The longest known beginning of `tokens` in full blocks: its blocks, with a reference to each,
  // are appended to `table`, which must be empty.
  Prefix Find(absl::Span<const int32_t> tokens, std::vector<int32_t>& table);

  // Makes the full blocks after `prefix` findable, of a sequence whose K and V are computed for
  // all of `tokens`. Returns the prefix with them. Blocks whose content is known already stay as
  // they are, and unknown to the cache.
  Prefix Remember(Prefix prefix, absl::Span<const int32_t> tokens, absl::Span<const int32_t> table);

 private:
  struct Key {
    uint64_t parent;
    std::vector<int32_t> tokens;  // kKvBlockTokens
    bool operator==(const Key& other) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  struct Block {
    int32_t references = 0;
    uint64_t node = 0;                    // 0: not in the cache
    const Key* key = nullptr;             // of the map, where it is in the cache
    std::list<int32_t>::iterator unused;  // where it is in the cache and has no references
  };

  static Key KeyOf(const Prefix& prefix, absl::Span<const int32_t> tokens);
  void Share(int32_t id);
  int32_t TakeOne();

  std::vector<Block> blocks_;  // by id
  std::vector<int32_t> free_;  // the next one to be taken is the last
  std::list<int32_t> unused_;  // cached, without references; the one to be evicted next is first
  std::unordered_map<Key, int32_t, KeyHash> nodes_;  // to the block that holds it
  uint64_t last_node_ = 0;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_KV_BLOCKS_H_
