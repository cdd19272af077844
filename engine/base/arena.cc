#include "engine/base/arena.h"

#include <algorithm>

namespace baton {
namespace {

// Address space of the first mapping. Each further one doubles it all, so that there are few: what
// is left over at the end of one takes up to a huge page of memory, and no more.
constexpr size_t kFirstChunkBytes = size_t{64} << 20;

}  // namespace

uint8_t* Arena::Take(size_t bytes) {
  bytes = (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
  if (bytes > left_) {
    AlignedBuffer chunk(std::max({bytes, kFirstChunkBytes, total_}));
    // Where address space is short, what is asked for alone may still fit.
    if (chunk.data() == nullptr) chunk = AlignedBuffer(bytes);
    if (chunk.data() == nullptr) return nullptr;
    left_ = chunk.size();
    total_ += chunk.size();
    chunks_.push_back(std::move(chunk));
  }
  AlignedBuffer& chunk = chunks_.back();
  uint8_t* place = chunk.data() + (chunk.size() - left_);
  left_ -= bytes;
  return place;
}

}  // namespace baton
