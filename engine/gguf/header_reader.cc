#include "engine/gguf/header_reader.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace baton {

HeaderReader::HeaderReader(const RandomAccessFile& file)
    : file_(file), limit_(std::min(file.size(), kMaxHeaderBytes)) {}

absl::Status HeaderReader::Require(uint64_t bytes, absl::string_view what) const {
  if (bytes <= remaining()) return absl::OkStatus();
  if (limit_ < file_.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the header does not end within ", limit_, " bytes, the most that is read: at byte ",
        position_, ", inside ", what, ", it claims ", bytes, " more"));
  }
  return absl::DataLossError(absl::StrCat("the file ends at byte ", limit_, ", inside ", what, ": ",
                                          bytes, " bytes were expected at byte ", position_));
}

absl::StatusOr<uint64_t> HeaderReader::ReadUnsigned(int bytes, absl::string_view what) {
  RETURN_IF_ERROR(Require(static_cast<uint64_t>(bytes), what));
  uint8_t raw[8];
  RETURN_IF_ERROR(ReadBytes(raw, static_cast<size_t>(bytes)));
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(raw[i]) << (8 * i);
  return value;
}

absl::StatusOr<std::string> HeaderReader::ReadString(absl::string_view what) {
  ASSIGN_OR_RETURN(const uint64_t size, ReadUnsigned(8, what));
  RETURN_IF_ERROR(Require(size, what));
  std::string text(static_cast<size_t>(size), '\0');
  RETURN_IF_ERROR(ReadBytes(text.data(), text.size()));
  return text;
}

absl::Status HeaderReader::ReadBytes(void* out, size_t size) {
  auto* to = static_cast<uint8_t*>(out);
  while (size > 0) {
    if (buffer_position_ == buffer_.size()) {
      buffer_.resize(static_cast<size_t>(std::min<uint64_t>(kHeaderBufferBytes, remaining())));
      buffer_position_ = 0;
      RETURN_IF_ERROR(file_.ReadAt(position_, buffer_.data(), buffer_.size()));
    }
    const size_t count = std::min(size, buffer_.size() - buffer_position_);
    std::memcpy(to, buffer_.data() + buffer_position_, count);
    to += count;
    size -= count;
    buffer_position_ += count;
    position_ += count;
  }
  return absl::OkStatus();
}

}  // namespace baton
