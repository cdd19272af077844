// A file that is nowhere on disk.
#ifndef BATON_TESTS_FUZZ_MEMORY_FILE_H_
#define BATON_TESTS_FUZZ_MEMORY_FILE_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "engine/base/check.h"

namespace baton {

class MemoryFile {
 public:
  MemoryFile(const void* data, size_t size) : fd_(memfd_create("fuzz", 0)) {
    CHECK(fd_ >= 0);
    CHECK(write(fd_, data, size) == static_cast<ssize_t>(size));
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  const int fd_;
};

}  // namespace baton

#endif  // BATON_TESTS_FUZZ_MEMORY_FILE_H_
