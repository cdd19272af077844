// Many pieces of memory that live and die together, in few large mappings: weights in huge pages,
// whatever the size of each matrix.
#ifndef BATON_ENGINE_BASE_ARENA_H_
#define BATON_ENGINE_BASE_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/aligned_buffer.h"

namespace baton {

// Not thread-safe.
class Arena {
 public:
  // `bytes` zeros, aligned as AlignedBuffer's memory is; they live as long as the arena. Null when
  // memory is not to be had.
  uint8_t* Take(size_t bytes);

 private:
  std::vector<AlignedBuffer> chunks_;
  size_t left_ = 0;   // of the last chunk
  size_t total_ = 0;  // of all chunks
};

}  // namespace baton

#endif  // BATON_ENGINE_BASE_ARENA_H_
