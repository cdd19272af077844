#include "proto/frame.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "grpcpp/support/slice.h"
#include "proto/bounds.h"

namespace baton {
namespace {

static_assert(std::endian::native == std::endian::little,
              "payloads are sent as they lie in memory");

// Walks the slices of a received buffer, which end anywhere.
class FrameReader {
 public:
  static absl::Status Open(const grpc::ByteBuffer& frame, FrameReader* reader) {
    grpc::ByteBuffer copy = frame;  // shares the bytes; Dump may not be const in spirit
    if (!copy.Valid() || !copy.Dump(&reader->slices_).ok()) {
      return absl::InvalidArgumentError("a frame without bytes");
    }
    reader->remaining_ = copy.Length();
    return absl::OkStatus();
  }

  size_t remaining() const { return remaining_; }

  // REQUIRES: size <= remaining().
  void Read(void* out, size_t size) {
    uint8_t* next = static_cast<uint8_t*>(out);
    remaining_ -= size;
    while (size > 0) {
      const grpc::Slice& slice = slices_[slice_];
      const size_t take = std::min(size, slice.size() - offset_);
      if (take > 0) std::memcpy(next, slice.begin() + offset_, take);
      next += take;
      size -= take;
      offset_ += take;
      if (offset_ == slice.size()) {
        ++slice_;
        offset_ = 0;
      }
    }
  }

 private:
  std::vector<grpc::Slice> slices_;
  size_t slice_ = 0;
  size_t offset_ = 0;
  size_t remaining_ = 0;
};

grpc::Slice OwnPayload(std::vector<float> payload) {
  auto* owned = new std::vector<float>(std::move(payload));
  return grpc::Slice(
      owned->data(), owned->size() * sizeof(float),
      [](void* vector) { delete static_cast<std::vector<float>*>(vector); }, owned);
}

}  // namespace

grpc::ByteBuffer EncodeFrame(const google::protobuf::MessageLite& header,
                             std::vector<float> payload) {
  std::string head(sizeof(uint32_t), '\0');
  header.AppendToString(&head);
  const uint32_t header_bytes = static_cast<uint32_t>(head.size() - sizeof(uint32_t));
  std::memcpy(head.data(), &header_bytes, sizeof(header_bytes));
  grpc::Slice slices[2] = {grpc::Slice(head.data(), head.size())};
  if (payload.empty()) return grpc::ByteBuffer(slices, 1);
  slices[1] = OwnPayload(std::move(payload));
  return grpc::ByteBuffer(slices, 2);
}

absl::Status DecodeFrame(const grpc::ByteBuffer& frame, google::protobuf::MessageLite* header,
                         std::vector<float>* payload) {
  FrameReader reader;
  RETURN_IF_ERROR(FrameReader::Open(frame, &reader));
  uint32_t header_bytes = 0;
  if (reader.remaining() < sizeof(header_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a frame of ", reader.remaining(), " bytes has no length of a header"));
  }
  reader.Read(&header_bytes, sizeof(header_bytes));
  if (header_bytes > kMaxHeaderBytes || header_bytes > reader.remaining()) {
    return absl::InvalidArgumentError(absl::StrCat("a frame's header of ", header_bytes,
                                                   " bytes, of which ", reader.remaining(),
                                                   " are there; at most ", kMaxHeaderBytes));
  }
  std::string head(header_bytes, '\0');
  reader.Read(head.data(), head.size());
  if (!header->ParseFromString(head)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a frame's header is not a ", header->GetTypeName()));
  }
  const size_t payload_bytes = reader.remaining();
  if (payload == nullptr ? payload_bytes != 0
                         : payload_bytes > kMaxPayloadBytes || payload_bytes % sizeof(float) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a frame's payload of ", payload_bytes, " bytes; expected ",
                     payload == nullptr ? std::string("none")
                                        : absl::StrCat("floats, at most ", kMaxPayloadBytes)));
  }
  if (payload == nullptr) return absl::OkStatus();
  payload->resize(payload_bytes / sizeof(float));
  reader.Read(payload->data(), payload_bytes);
  return absl::OkStatus();
}

}  // namespace baton
