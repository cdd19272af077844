// What is known of the contents of KV blocks: a tree, with a node for each run of tokens of a
// block's length that follows what its parent stands for. So a node is a beginning of a sequence,
// in full blocks; it says which block of each cache group holds its last tokens' K and V, where one
// does.
//
// Tokens are compared in full, and parents by identity: there is no hash that could collide.
#ifndef BATON_COORDINATOR_SCHEDULER_PREFIX_TREE_H_
#define BATON_COORDINATOR_SCHEDULER_PREFIX_TREE_H_

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "absl/types/span.h"

namespace baton {

inline constexpr int32_t kNoBlock = -1;

struct PrefixNode;

struct PrefixKey {
  const PrefixNode* parent;  // null: the root
  std::vector<int32_t> tokens;
  bool operator==(const PrefixKey& other) const = default;
};

struct PrefixNode {
  PrefixNode* parent = nullptr;    // null: the root
  const PrefixKey* key = nullptr;  // of the tree's map
  std::vector<int32_t> blocks;     // by cache group; kNoBlock where none holds it
  int32_t references = 0;          // of its children, its blocks, and sequences that stand here
};

// Nodes are counted by reference: without any, a node is gone, and its parent has one less. Not
// thread-safe.
class PrefixTree {
 public:
  explicit PrefixTree(int group_count) : group_count_(group_count) {}

  // The child of `parent` (null: of the root) with these tokens, or null.
  PrefixNode* Find(const PrefixNode* parent, absl::Span<const int32_t> tokens);
  // The same, made where there is none, with one reference more.
  PrefixNode* Add(PrefixNode* parent, absl::Span<const int32_t> tokens);

  // Of a node, or of null, the root, which stays anyway.
  void Hold(PrefixNode* node);
  void Drop(PrefixNode* node);

  bool empty() const { return nodes_.empty(); }

 private:
  struct KeyHash {
    size_t operator()(const PrefixKey& key) const;
  };
  const int group_count_;
  std::unordered_map<PrefixKey, PrefixNode, KeyHash> nodes_;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_PREFIX_TREE_H_
