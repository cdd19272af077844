// Which layers of a model share KV blocks, and how long they need them.
//
// Layers that see equally far back form a *cache group*: what they keep of a position lives equally
// long, so that they share block ids and block tables. A model without windows has one group; one
// whose layers alternate between a window and full attention has two, and the blocks of the former
// are given back as the window moves on.
#ifndef BATON_ENGINE_MODEL_CACHE_GROUPS_H_
#define BATON_ENGINE_MODEL_CACHE_GROUPS_H_

#include <cstdint>
#include <vector>

#include "engine/model/model_spec.h"

namespace baton {

// Blocks [begin, end) of a sequence, by position / kKvBlockTokens.
struct BlockRange {
  int32_t begin = 0;
  int32_t end = 0;
  int32_t size() const { return end - begin; }
};

struct CacheGroup {
  int32_t window = 0;       // positions that a row sees, its own included; 0: all up to its own
  std::vector<int> layers;  // of the model, ascending

  // Blocks that rows at positions [first_position, first_position + row_count) see or write: what
  // a block table has of this group.
  BlockRange BlocksOf(int32_t first_position, int32_t row_count) const;
};

// Every layer is in one group. Full attention comes first, then windows, the widest first; a window
// of the model's whole context is full attention.
std::vector<CacheGroup> CacheGroupsOf(const ModelSpec& spec);

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_CACHE_GROUPS_H_
