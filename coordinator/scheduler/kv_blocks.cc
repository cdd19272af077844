#include "coordinator/scheduler/kv_blocks.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/base/check.h"
#include "engine/pipeline/local_stage.h"

namespace baton {

int32_t BlocksFor(int64_t position_count) {
  return static_cast<int32_t>((position_count + kKvBlockTokens - 1) / kKvBlockTokens);
}

int64_t PositionsIn(int32_t block_count) { return int64_t{block_count} * kKvBlockTokens; }

size_t KvBlocks::KeyHash::operator()(const Key& key) const {
  uint64_t hash = key.parent;
  // The multiplier of Knuth's linear congruential generator MMIX.
  for (const int32_t token : key.tokens) {
    hash = (hash ^ static_cast<uint32_t>(token)) * 6364136223846793005u;
    hash ^= hash >> 32;
  }
  return hash;
}

KvBlocks::KvBlocks(int32_t block_count) : blocks_(block_count), free_(block_count) {
  std::iota(free_.rbegin(), free_.rend(), 0);
}

// Of the block after `prefix`.
KvBlocks::Key KvBlocks::KeyOf(const Prefix& prefix, absl::Span<const int32_t> tokens) {
  const absl::Span<const int32_t> own = tokens.subspan(prefix.token_count, kKvBlockTokens);
  return {prefix.node, {own.begin(), own.end()}};
}

bool KvBlocks::Extend(int64_t position_count, std::vector<int32_t>& table) {
  const int32_t missing = BlocksFor(position_count) - static_cast<int32_t>(table.size());
  if (missing > available_count()) return false;
  for (int32_t i = 0; i < missing; ++i) table.push_back(TakeOne());
  return true;
}

int32_t KvBlocks::TakeOne() {
  if (free_.empty()) {
    const int32_t evicted = unused_.front();
    unused_.pop_front();
    Block& block = blocks_[evicted];
    const auto node = nodes_.find(*block.key);
    CHECK(node != nodes_.end() && node->second == evicted);
    nodes_.erase(node);
    block = Block();
    free_.push_back(evicted);
  }
  const int32_t id = free_.back();
  free_.pop_back();
  blocks_[id].references = 1;
  return id;
}

// Last to first, so that a block is evicted before its parent, without which it cannot be found.
void KvBlocks::Release(std::vector<int32_t>& table) {
  for (; !table.empty(); table.pop_back()) {
    const int32_t id = table.back();
    Block& block = blocks_[id];
    CHECK(block.references > 0);
    if (--block.references > 0) continue;
    if (block.node == 0) {
      free_.push_back(id);
    } else {
      block.unused = unused_.insert(unused_.end(), id);
    }
  }
}

void KvBlocks::Share(int32_t id) {
  Block& block = blocks_[id];
  if (block.references++ == 0) unused_.erase(block.unused);
}

KvBlocks::Prefix KvBlocks::Find(absl::Span<const int32_t> tokens, std::vector<int32_t>& table) {
  CHECK(table.empty());
  Prefix prefix;
  while (prefix.token_count + kKvBlockTokens <= static_cast<int32_t>(tokens.size())) {
    const auto node = nodes_.find(KeyOf(prefix, tokens));
    if (node == nodes_.end()) break;
    Share(node->second);
    table.push_back(node->second);
    prefix = {prefix.token_count + kKvBlockTokens, blocks_[node->second].node};
  }
  return prefix;
}

KvBlocks::Prefix KvBlocks::Remember(Prefix prefix, absl::Span<const int32_t> tokens,
                                    absl::Span<const int32_t> table) {
  while (prefix.token_count + kKvBlockTokens <= static_cast<int32_t>(tokens.size())) {
    const int32_t id = table[prefix.token_count / kKvBlockTokens];
    const auto [node, is_new] = nodes_.emplace(KeyOf(prefix, tokens), id);
    if (is_new) {
      blocks_[id].node = ++last_node_;
      blocks_[id].key = &node->first;
    }
    prefix = {prefix.token_count + kKvBlockTokens, blocks_[node->second].node};
  }
  return prefix;
}

}  // namespace baton
