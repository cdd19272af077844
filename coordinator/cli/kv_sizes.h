// How memory for K and V is divided among cache groups.
//
// A budget is counted in blocks of full attention, as many as the positions of all sequences need
// that run at once. A group with a window gets what as many sequences of full length hold of it at
// most (KvCache::MostBlocks): the same part of that as of their blocks of full attention, and never
// more blocks than those. So a budget ends for all groups at once when sequences are long, and
// short ones, which need as many blocks of every group, are what windows gain nothing for.
#ifndef BATON_COORDINATOR_CLI_KV_SIZES_H_
#define BATON_COORDINATOR_CLI_KV_SIZES_H_

#include <cstdint>
#include <vector>

#include "engine/model/cache_groups.h"

namespace baton {

class KvSizes {
 public:
  // `block_bytes`: of each memory that must hold its blocks (a worker's, or one that several stages
  // share), by cache group. Ids are the same on every stage, so the fullest memory decides.
  KvSizes(std::vector<CacheGroup> groups, std::vector<std::vector<uint64_t>> block_bytes);

  // Blocks of each group where sequences of `context_length` positions have `blocks` of full
  // attention together.
  std::vector<int32_t> Counts(int32_t blocks, int32_t context_length) const;

  // What those take of the fullest memory.
  uint64_t Bytes(int32_t blocks, int32_t context_length) const;

  // The most blocks, at most `limit`, that take no more than `budget`.
  int32_t BlocksWithin(uint64_t budget, int32_t context_length, int32_t limit) const;

  // The longest context, at most `limit`, of which one sequence and `spare` blocks take no more
  // than `budget`; 0 where none does.
  int32_t ContextWithin(uint64_t budget, int32_t spare, int32_t limit) const;

 private:
  const std::vector<CacheGroup> groups_;
  const std::vector<std::vector<uint64_t>> block_bytes_;  // by memory, then group
};

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_KV_SIZES_H_
