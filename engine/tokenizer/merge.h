// The loop that SPM and BPE share: merge the best adjacent pair until there is none.
//
// Symbols form a linked list in an array; candidates wait in a priority queue, and those that a
// merge has overtaken are recognised when they come out. n symbols take O(n log n), also in one
// word of a megabyte.
#ifndef BATON_ENGINE_TOKENIZER_MERGE_H_
#define BATON_ENGINE_TOKENIZER_MERGE_H_

#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

namespace baton {

struct Symbol {
  uint32_t begin;   // in the text, in bytes
  uint32_t length;  // in bytes; 0: was merged into a symbol on its left
  int32_t value;    // what the Lookup makes of it
  int32_t previous = -1;
  int32_t next = -1;
};

struct Merge {
  double cost;    // the lowest is merged first; ties: leftmost
  int32_t value;  // of the merged symbol
};

// Links a row of symbols that follow each other in the text, and merges them.
// Lookup: std::optional<Merge>(const Symbol& left, const Symbol& right).
template <typename Lookup>
void MergeSymbols(const Lookup& lookup, std::vector<Symbol>* symbols) {
  struct Candidate {
    Merge merge;
    int32_t left;
    int32_t right;
    uint32_t length;  // of both: tells whether either has changed since
    bool operator<(const Candidate& other) const {  // as std::priority_queue wants: worse than
      if (merge.cost != other.merge.cost) return merge.cost > other.merge.cost;
      return left > other.left;
    }
  };
  std::vector<Symbol>& row = *symbols;
  std::priority_queue<Candidate> queue;
  const auto consider = [&](int32_t left, int32_t right) {
    if (left < 0 || right < 0) return;
    const std::optional<Merge> merge = lookup(row[left], row[right]);
    if (merge) queue.push({*merge, left, right, row[left].length + row[right].length});
  };

  const int32_t count = static_cast<int32_t>(row.size());
  for (int32_t i = 0; i < count; ++i) {
    row[i].previous = i - 1;
    row[i].next = i + 1 < count ? i + 1 : -1;
    consider(i - 1, i);
  }
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = row[best.left];
    Symbol& right = row[best.right];
    if (left.length == 0 || right.length == 0) continue;
    if (left.length + right.length != best.length) continue;
    left.length = best.length;
    left.value = best.merge.value;
    left.next = right.next;
    right.length = 0;
    if (left.next >= 0) row[left.next].previous = best.left;
    consider(left.previous, best.left);
    consider(best.left, left.next);
  }
}

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_MERGE_H_
