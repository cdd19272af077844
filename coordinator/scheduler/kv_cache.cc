#include "coordinator/scheduler/kv_cache.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "coordinator/scheduler/pacing.h"
#include "engine/base/check.h"
#include "engine/pipeline/batch.h"
#include "engine/pipeline/local_stage.h"

namespace baton {
namespace {

// When a request is admitted, a block stays free for each sequence that runs, to go on with, but
// not more than this part of all: preemption is for the rest.
constexpr int32_t kHeadroomDivisor = 8;

}  // namespace

int32_t KvCache::MostBlocks(const CacheGroup& group, int32_t context_length) {
  const int32_t all = BlocksFor(context_length);
  if (group.window == 0) return all;
  return std::min(all, BlocksFor(int64_t{group.window} + kMaxPromptChunk) + 1);
}

KvCache::KvCache(const std::vector<CacheGroup>& groups, absl::Span<const int32_t> block_counts,
                 int32_t context_length)
    : prefixes_(static_cast<int>(groups.size())), most_rows_(kMaxBatchRows) {
  CHECK(block_counts.size() == groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    const int32_t most = std::min(block_counts[i], MostBlocks(groups[i], context_length));
    if (most < BlocksFor(context_length)) {
      CHECK(groups[i].window > 0);
      // One block serves positions on both sides of what is seen and written.
      const int64_t rows = PositionsIn(most - 1) - groups[i].window;
      CHECK(rows > 0);
      most_rows_ = static_cast<int32_t>(std::min<int64_t>(most_rows_, rows));
    }
    groups_.push_back({groups[i], KvBlocks(block_counts[i]), most});
  }
}

int32_t KvCache::block_count() const {
  int32_t count = 0;
  for (const Group& group : groups_) count += group.blocks.block_count();
  return count;
}

int32_t KvCache::free_count() const {
  int32_t count = 0;
  for (const Group& group : groups_) count += group.blocks.free_count();
  return count;
}

int32_t KvCache::cached_count() const {
  int32_t count = 0;
  for (const Group& group : groups_) count += group.blocks.cached_count();
  return count;
}

// What a sequence is to have when positions from `first_position` on are still to be fed.
BlockRange KvCache::WantedBlocks(const Group& group, int32_t first_position,
                                 int32_t end_position) const {
  BlockRange range = group.seen.BlocksOf(first_position, end_position - first_position);
  if (group.seen.window > 0) range.end = std::min(range.end, range.begin + group.most_blocks);
  return range;
}

int32_t KvCache::Offered(const Group& group, int32_t running_count) const {
  const int32_t headroom = std::min(running_count, group.blocks.block_count() / kHeadroomDivisor);
  return group.blocks.available_count() - headroom;
}

bool KvCache::Admit(absl::Span<const int32_t> tokens, int32_t findable, int32_t running_count,
                    SequenceBlocks& blocks) {
  std::vector<int32_t> offered;
  for (const Group& group : groups_) offered.push_back(Offered(group, running_count));
  if (running_count > 0 && !blocks.refused.empty()) {
    const auto is_no_more = [](int32_t now, int32_t then) { return now <= then; };
    if (std::equal(offered.begin(), offered.end(), blocks.refused.begin(), is_no_more)) {
      return false;
    }
  }
  blocks.runs.resize(groups_.size());
  Find(tokens.first(findable), blocks);
  if (!ExtendBeside(running_count, blocks.known_tokens, static_cast<int32_t>(tokens.size()),
                    blocks)) {
    Release(blocks);
    blocks.refused = std::move(offered);
    return false;
  }
  blocks.refused.clear();
  return true;
}

bool KvCache::Extend(int32_t first_position, int32_t end_position, SequenceBlocks& blocks) {
  return ExtendBeside(/*running_count=*/0, first_position, end_position, blocks);
}

bool KvCache::ExtendBeside(int32_t running_count, int32_t first_position, int32_t end_position,
                           SequenceBlocks& blocks) {
  bool enough = true;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const BlockRange wanted = WantedBlocks(groups_[i], first_position, end_position);
    SequenceBlocks::Run& run = blocks.runs[i];
    CHECK(run.first <= wanted.begin);
    const auto unseen = run.ids.begin() + std::min(wanted.begin, run.end()) - run.first;
    for (auto id = run.ids.begin(); id != unseen; ++id) groups_[i].blocks.Release(*id);
    run.ids.erase(run.ids.begin(), unseen);
    run.first = wanted.begin;
    const int32_t missing = wanted.end - run.end();
    enough &= missing <= 0 || missing <= Offered(groups_[i], running_count);
  }
  if (!enough) return false;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const int32_t end = WantedBlocks(groups_[i], first_position, end_position).end;
    SequenceBlocks::Run& run = blocks.runs[i];
    while (run.end() < end) run.ids.push_back(TakeOne(i));
  }
  return true;
}

int32_t KvCache::TakeOne(size_t group) {
  const KvBlocks::Taken taken = groups_[group].blocks.Take();
  if (taken.forgotten != nullptr) {
    taken.forgotten->blocks[group] = kNoBlock;
    prefixes_.Drop(taken.forgotten);
  }
  return taken.id;
}

// Last to first, so that a block of the cache is taken before its parent, without which it cannot
// be found.
void KvCache::Release(SequenceBlocks& blocks) {
  for (size_t i = 0; i < blocks.runs.size(); ++i) {
    std::vector<int32_t>& ids = blocks.runs[i].ids;
    for (; !ids.empty(); ids.pop_back()) groups_[i].blocks.Release(ids.back());
    blocks.runs[i].first = 0;
  }
  prefixes_.Drop(std::exchange(blocks.known, nullptr));
  blocks.known_tokens = 0;
}

// A beginning is of use where every group holds all that the row after it sees.
void KvCache::Find(absl::Span<const int32_t> tokens, SequenceBlocks& blocks) {
  CHECK(blocks.known == nullptr);
  std::vector<PrefixNode*> path;
  std::vector<int32_t> held(groups_.size());  // the last so many blocks of the path
  int32_t found = 0;                          // blocks of the path that are of use
  PrefixNode* node = nullptr;
  while (true) {
    const size_t next = path.size() * kKvBlockTokens;
    if (next + kKvBlockTokens > tokens.size()) break;
    node = prefixes_.Find(node, tokens.subspan(next, kKvBlockTokens));
    if (node == nullptr) break;
    path.push_back(node);
    const int32_t length = static_cast<int32_t>(path.size());
    bool is_of_use = true;
    for (size_t i = 0; i < groups_.size(); ++i) {
      held[i] = node->blocks[i] == kNoBlock ? 0 : held[i] + 1;
      const int32_t first = groups_[i].seen.BlocksOf(length * kKvBlockTokens, 1).begin;
      is_of_use &= held[i] >= length - first;
    }
    if (is_of_use) found = length;
  }
  if (found == 0) return;
  blocks.known = path[found - 1];
  blocks.known_tokens = found * kKvBlockTokens;
  prefixes_.Hold(blocks.known);
  for (size_t i = 0; i < groups_.size(); ++i) {
    SequenceBlocks::Run& run = blocks.runs[i];
    run.first = groups_[i].seen.BlocksOf(blocks.known_tokens, 1).begin;
    for (int32_t j = run.first; j < found; ++j) {
      run.ids.push_back(path[j]->blocks[i]);
      groups_[i].blocks.Share(run.ids.back());
    }
  }
}

void KvCache::Remember(absl::Span<const int32_t> tokens, SequenceBlocks& blocks) {
  while (blocks.known_tokens + kKvBlockTokens <= static_cast<int32_t>(tokens.size())) {
    PrefixNode* const node =
        prefixes_.Add(blocks.known, tokens.subspan(blocks.known_tokens, kKvBlockTokens));
    const int32_t index = blocks.known_tokens / kKvBlockTokens;
    for (size_t i = 0; i < groups_.size(); ++i) {
      const SequenceBlocks::Run& run = blocks.runs[i];
      const bool has_block = run.first <= index && index < run.end();
      if (!has_block || node->blocks[i] != kNoBlock) continue;
      node->blocks[i] = run.ids[index - run.first];
      groups_[i].blocks.Remember(node->blocks[i], node);
      prefixes_.Hold(node);
    }
    prefixes_.Drop(blocks.known);
    blocks.known = node;
    blocks.known_tokens += kKvBlockTokens;
  }
}

std::vector<int32_t> KvCache::Table(const SequenceBlocks& blocks, int32_t first_position,
                                    int32_t row_count) const {
  std::vector<int32_t> table;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const SequenceBlocks::Run& run = blocks.runs[i];
    const BlockRange range = groups_[i].seen.BlocksOf(first_position, row_count);
    CHECK(run.first <= range.begin && range.end <= run.end());
    const auto begin = run.ids.begin() + (range.begin - run.first);
    table.insert(table.end(), begin, begin + range.size());
  }
  return table;
}

}  // namespace baton
