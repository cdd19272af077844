#include "coordinator/scheduler/prefix_tree.h"

#include "engine/base/check.h"

namespace baton {

size_t PrefixTree::KeyHash::operator()(const PrefixKey& key) const {
  uint64_t hash = reinterpret_cast<uintptr_t>(key.parent);
  // The multiplier of Knuth's linear congruential generator MMIX.
  for (const int32_t token : key.tokens) {
    hash = (hash ^ static_cast<uint32_t>(token)) * 6364136223846793005u;
    hash ^= hash >> 32;
  }
  return hash;
}

PrefixNode* PrefixTree::Find(const PrefixNode* parent, absl::Span<const int32_t> tokens) {
  const auto node = nodes_.find({parent, {tokens.begin(), tokens.end()}});
  return node == nodes_.end() ? nullptr : &node->second;
}

PrefixNode* PrefixTree::Add(PrefixNode* parent, absl::Span<const int32_t> tokens) {
  const auto [entry, is_new] =
      nodes_.try_emplace(PrefixKey{parent, {tokens.begin(), tokens.end()}});
  PrefixNode& node = entry->second;
  if (is_new) {
    node.parent = parent;
    node.key = &entry->first;
    node.blocks.assign(group_count_, kNoBlock);
    Hold(parent);
  }
  Hold(&node);
  return &node;
}

void PrefixTree::Hold(PrefixNode* node) {
  if (node != nullptr) ++node->references;
}

void PrefixTree::Drop(PrefixNode* node) {
  while (node != nullptr) {
    CHECK(node->references > 0);
    if (--node->references > 0) return;
    PrefixNode* const parent = node->parent;
    const auto entry = nodes_.find(*node->key);
    CHECK(entry != nodes_.end());
    nodes_.erase(entry);
    node = parent;
  }
}

}  // namespace baton
