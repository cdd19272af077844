#include "engine/base/aligned_buffer.h"

#include <sys/mman.h>

namespace baton {
namespace {

// From here on huge pages save more in address translation than their rounding costs.
constexpr size_t kHugePageBytes = size_t{2} << 20;

}  // namespace

AlignedBuffer::AlignedBuffer(size_t size) {
  // A mapping starts at any page, a huge page only at its own multiple: room to move up to one.
  const size_t slack = size >= 2 * kHugePageBytes ? kHugePageBytes : 0;
  if (size == 0 || size > SIZE_MAX - slack) return;
  void* memory = mmap(nullptr, size + slack, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;
  mapping_ = memory;
  mapping_bytes_ = size + slack;
  data_ = static_cast<uint8_t*>(memory);
  size_ = size;
  if (slack == 0) return;
  data_ += kHugePageBytes - reinterpret_cast<uintptr_t>(data_) % kHugePageBytes;
  madvise(data_, size, MADV_HUGEPAGE);
}

AlignedBuffer::~AlignedBuffer() {
  if (mapping_ != nullptr) munmap(mapping_, mapping_bytes_);
}

}  // namespace baton
