// Little-endian numbers and strings, one after the other, from the start of a file.
#ifndef BATON_ENGINE_GGUF_HEADER_READER_H_
#define BATON_ENGINE_GGUF_HEADER_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/file.h"

namespace baton {

// Bytes. The largest known header (a vocabulary of 262,144 tokens with scores and merges) has about
// 15 MiB; a file that claims more than this wants our memory.
inline constexpr uint64_t kMaxHeaderBytes = uint64_t{256} << 20;

// Bytes taken from the file at once. A page: what is read beyond the header stays below that.
inline constexpr size_t kHeaderBufferBytes = 4096;

// Every read is checked against what is left before anything is allocated; one that does not fit is
// DataLoss and names what was to be read, its byte, and where the file ends. Not thread-safe.
class HeaderReader {
 public:
  // `file` must outlive the reader.
  explicit HeaderReader(const RandomAccessFile& file);

  uint64_t position() const { return position_; }  // of the next byte, from the start of the file
  uint64_t remaining() const { return limit_ - position_; }

  // OK if `bytes` more can be read. `what` completes "inside ...".
  absl::Status Require(uint64_t bytes, absl::string_view what) const;

  // An unsigned integer of 1 to 8 bytes.
  absl::StatusOr<uint64_t> ReadUnsigned(int bytes, absl::string_view what);
  // A u64 length, then that many bytes.
  absl::StatusOr<std::string> ReadString(absl::string_view what);

 private:
  absl::Status ReadBytes(void* out, size_t size);

  const RandomAccessFile& file_;
  const uint64_t limit_;
  uint64_t position_ = 0;
  std::vector<uint8_t> buffer_;
  size_t buffer_position_ = 0;
};

}  // namespace baton

#endif  // BATON_ENGINE_GGUF_HEADER_READER_H_
