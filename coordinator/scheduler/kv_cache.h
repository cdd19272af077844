// The KV blocks of all cache groups: which of them each sequence has, and which beginnings of
// sequences can be found in them again (the prefix cache).
//
// A sequence needs blocks in every group. Of a group with a window it has only those that the rows
// still to come can see, and gives the others back as it goes on. One pipeline has one KvCache, so
// model, numeric contract and KV type are the same for all it holds.
#ifndef BATON_COORDINATOR_SCHEDULER_KV_CACHE_H_
#define BATON_COORDINATOR_SCHEDULER_KV_CACHE_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "coordinator/scheduler/kv_blocks.h"
#include "coordinator/scheduler/prefix_tree.h"
#include "engine/model/cache_groups.h"

namespace baton {

// What one sequence has. Made and changed by KvCache alone.
struct SequenceBlocks {
  // Blocks of consecutive positions, from block `first` of the sequence on.
  struct Run {
    int32_t first = 0;
    std::vector<int32_t> ids;
    int32_t end() const { return first + static_cast<int32_t>(ids.size()); }
  };
  std::vector<Run> runs;         // by cache group
  PrefixNode* known = nullptr;   // what the cache has been told of, or was found in it; held
  int32_t known_tokens = 0;      // that `known` stands for
  std::vector<int32_t> refused;  // by group: blocks that could be had when it was refused some
};

// Not thread-safe.
class KvCache {
 public:
  // `block_counts`: by group. `context_length`: positions of a sequence at most; its blocks must
  // fit, and of a group with a window at least a row's.
  KvCache(const std::vector<CacheGroup>& groups, absl::Span<const int32_t> block_counts,
          int32_t context_length);

  // Blocks that a sequence of so many positions has of a group at most, if there are enough: all of
  // them, or a window, the rows of the largest chunk of a prompt, and one where neither begins at a
  // block's edge.
  static int32_t MostBlocks(const CacheGroup& group, int32_t context_length);
  // Rows that a span may have: so many new ones have blocks beside the window before them.
  int32_t most_rows() const { return most_rows_; }

  // Of all groups together.
  int32_t block_count() const;
  int32_t free_count() const;
  int32_t cached_count() const;

  // Begins a sequence, whose blocks must be empty: finds the longest known beginning of its first
  // `findable` tokens (known_tokens says how long it is), and takes blocks as Extend() does, so
  // that some are left for those that run. False, leaving nothing held, when there are too few, or
  // when there are no more than when it was last refused.
  bool Admit(absl::Span<const int32_t> tokens, int32_t findable, int32_t running_count,
             SequenceBlocks& blocks);

  // Positions before `first_position` will not be fed again: gives back blocks that later ones do
  // not see. Takes those that positions up to `end_position` need, or, where a window moves on with
  // them, as many as a sequence has at most. False when there are too few: then takes none.
  bool Extend(int32_t first_position, int32_t end_position, SequenceBlocks& blocks);

  // Gives back everything.
  void Release(SequenceBlocks& blocks);

  // K and V of all of `tokens`, the first ones of the sequence, are computed: makes those full
  // blocks of them that the sequence has findable, unless the same content is already.
  void Remember(absl::Span<const int32_t> tokens, SequenceBlocks& blocks);

  // The block table of a span of these rows, for which blocks were taken.
  std::vector<int32_t> Table(const SequenceBlocks& blocks, int32_t first_position,
                             int32_t row_count) const;

 private:
  struct Group {
    CacheGroup seen;
    KvBlocks blocks;
    int32_t most_blocks;  // of a sequence
  };

  BlockRange WantedBlocks(const Group& group, int32_t first_position, int32_t end_position) const;
  int32_t Offered(const Group& group, int32_t running_count) const;
  bool ExtendBeside(int32_t running_count, int32_t first_position, int32_t end_position,
                    SequenceBlocks& blocks);
  void Find(absl::Span<const int32_t> tokens, SequenceBlocks& blocks);
  int32_t TakeOne(size_t group);

  std::vector<Group> groups_;
  PrefixTree prefixes_;
  int32_t most_rows_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_KV_CACHE_H_
