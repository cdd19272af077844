#include "engine/base/aligned_buffer.h"

#include <sys/mman.h>

namespace baton {
namespace {

// From here on huge pages save more in address translation than their rounding costs.
constexpr size_t kHugePageBytes = size_t{2} << 20;

}  // namespace

AlignedBuffer::AlignedBuffer(size_t size) {
  if (size == 0) return;
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;
  if (size >= 2 * kHugePageBytes) madvise(memory, size, MADV_HUGEPAGE);
  data_ = static_cast<uint8_t*>(memory);
  size_ = size;
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace baton
