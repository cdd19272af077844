// Where data may start in a file.
#ifndef BATON_ENGINE_GGUF_ALIGNMENT_H_
#define BATON_ENGINE_GGUF_ALIGNMENT_H_

#include <cstdint>

namespace baton {

// The first multiple of `alignment` that is not below `value`.
inline uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

}  // namespace baton

#endif  // BATON_ENGINE_GGUF_ALIGNMENT_H_
