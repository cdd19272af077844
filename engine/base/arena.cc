#include "engine/base/arena.h"

#include <algorithm>

namespace baton {
namespace {

// Address space of one mapping. What is never written takes no memory beyond a huge page.
constexpr size_t kChunkBytes = size_t{64} << 20;

}  // namespace

uint8_t* Arena::Take(size_t bytes) {
  bytes = (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
  if (bytes > left_) {
    AlignedBuffer chunk(std::max(bytes, kChunkBytes));
    if (chunk.data() == nullptr) return nullptr;
    left_ = chunk.size();
    chunks_.push_back(std::move(chunk));
  }
  AlignedBuffer& chunk = chunks_.back();
  uint8_t* place = chunk.data() + (chunk.size() - left_);
  left_ -= bytes;
  return place;
}

}  // namespace baton
