// A file read by position: no mapping, so that a file which shrinks under us is an error, not a
// SIGBUS, and so that the bytes taken from it can be counted.
#ifndef BATON_ENGINE_BASE_FILE_H_
#define BATON_ENGINE_BASE_FILE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace baton {

// Thread-safe: reads by position share no cursor.
class RandomAccessFile {
 public:
  // Errors: NotFound, PermissionDenied, InvalidArgument (a directory), each naming the path.
  static absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(const std::string& path);
  ~RandomAccessFile();
  RandomAccessFile(const RandomAccessFile&) = delete;
  RandomAccessFile& operator=(const RandomAccessFile&) = delete;

  // Fills exactly `size` bytes at `offset`; a shorter file is DataLoss naming path and offset.
  absl::Status ReadAt(uint64_t offset, void* out, size_t size) const;

  const std::string& path() const { return path_; }
  // Size when it was opened, in bytes.
  uint64_t size() const { return size_; }
  // All bytes that ReadAt has delivered.
  uint64_t bytes_read() const { return bytes_read_.load(std::memory_order_relaxed); }

 private:
  RandomAccessFile(std::string path, int fd, uint64_t size);
  const std::string path_;
  const int fd_;
  const uint64_t size_;
  mutable std::atomic<uint64_t> bytes_read_{0};
};

}  // namespace baton

#endif  // BATON_ENGINE_BASE_FILE_H_
