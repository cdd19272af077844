#include "engine/testing/gguf_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

void AppendNumber(uint64_t value, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

void AppendString(absl::string_view text, std::string* out) {
  AppendNumber(text.size(), 8, out);
  absl::StrAppend(out, text);
}

int IntegerBytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
      return 4;
    default:
      return 8;
  }
}

void AppendElements(const GgufValue& value, std::string* out) {
  const int bytes = IntegerBytes(value.type);
  if (const auto* u = std::get_if<std::vector<uint64_t>>(&value.elements)) {
    for (const uint64_t element : *u) AppendNumber(element, bytes, out);
  } else if (const auto* i = std::get_if<std::vector<int64_t>>(&value.elements)) {
    for (const int64_t element : *i) AppendNumber(static_cast<uint64_t>(element), bytes, out);
  } else if (const auto* f = std::get_if<std::vector<double>>(&value.elements)) {
    for (const double element : *f) {
      if (value.type == GgufType::kF64) {
        AppendNumber(std::bit_cast<uint64_t>(element), 8, out);
      } else {
        AppendNumber(std::bit_cast<uint32_t>(static_cast<float>(element)), 4, out);
      }
    }
  } else {
    for (const std::string& element : std::get<std::vector<std::string>>(value.elements)) {
      AppendString(element, out);
    }
  }
}

uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

absl::Status WriteAt(int fd, uint64_t offset, const void* data, size_t size) {
  const auto* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = pwrite(fd, from, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, "cannot write");
    from += n;
    offset += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

// Closes the descriptor when the scope ends.
struct FdCloser {
  int fd;
  ~FdCloser() { close(fd); }
};

}  // namespace

void GgufWriter::SetU32(absl::string_view key, uint32_t value) {
  Set(key, {GgufType::kU32, false, std::vector<uint64_t>{value}});
}

void GgufWriter::SetF32(absl::string_view key, float value) {
  Set(key, {GgufType::kF32, false, std::vector<double>{value}});
}

void GgufWriter::SetBool(absl::string_view key, bool value) {
  Set(key, {GgufType::kBool, false, std::vector<uint64_t>{value}});
}

void GgufWriter::SetString(absl::string_view key, absl::string_view value) {
  Set(key, {GgufType::kString, false, std::vector<std::string>{std::string(value)}});
}

void GgufWriter::SetStrings(absl::string_view key, std::vector<std::string> values) {
  Set(key, {GgufType::kString, true, std::move(values)});
}

void GgufWriter::SetI32s(absl::string_view key, const std::vector<int32_t>& values) {
  Set(key, {GgufType::kI32, true, std::vector<int64_t>(values.begin(), values.end())});
}

void GgufWriter::SetF32s(absl::string_view key, const std::vector<float>& values) {
  Set(key, {GgufType::kF32, true, std::vector<double>(values.begin(), values.end())});
}

void GgufWriter::Set(absl::string_view key, const GgufValue& value) {
  std::string bytes;
  if (value.is_array) {
    AppendNumber(static_cast<uint64_t>(value.type), 4, &bytes);
    AppendNumber(value.size(), 8, &bytes);
  }
  AppendElements(value, &bytes);
  SetRaw(key, static_cast<uint32_t>(value.is_array ? GgufType::kArray : value.type), bytes);
}

void GgufWriter::SetRaw(absl::string_view key, uint32_t type_id, absl::string_view bytes) {
  AppendString(key, &metadata_);
  AppendNumber(type_id, 4, &metadata_);
  absl::StrAppend(&metadata_, bytes);
  ++metadata_count_;
}

void GgufWriter::SetAlignment(uint32_t alignment) {
  SetU32("general.alignment", alignment);
  alignment_ = alignment;
}

void GgufWriter::AddTensor(absl::string_view name, TensorType type, std::vector<uint64_t> dims,
                           TensorFill fill) {
  CHECK(!dims.empty());
  uint64_t bytes = RowBytes(type, dims[0]);
  for (size_t d = 1; d < dims.size(); ++d) bytes *= dims[d];
  AddTensorEntry({std::string(name), std::move(dims), static_cast<uint32_t>(type), std::nullopt,
                  bytes, std::move(fill)});
}

void GgufWriter::AddTensor(absl::string_view name, TensorType type, std::vector<uint64_t> dims,
                           std::vector<uint8_t> data) {
  AddTensor(name, type, std::move(dims), TensorFill([data = std::move(data)] { return data; }));
}

void GgufWriter::AddTensorEntry(GgufTensorEntry entry) { tensors_.push_back(std::move(entry)); }

std::vector<uint64_t> GgufWriter::Layout() const {
  std::vector<uint64_t> offsets;
  uint64_t end = 0;
  for (const GgufTensorEntry& tensor : tensors_) {
    offsets.push_back(AlignUp(end, alignment_));
    end = offsets.back() + tensor.bytes;
  }
  offsets.push_back(flaws.final_padding ? AlignUp(end, alignment_) : end);
  return offsets;
}

std::string GgufWriter::Header() const {
  const std::vector<uint64_t> offsets = Layout();
  std::string out = flaws.magic;
  AppendNumber(flaws.version, 4, &out);
  AppendNumber(flaws.tensor_count.value_or(tensors_.size()), 8, &out);
  AppendNumber(flaws.metadata_count.value_or(metadata_count_), 8, &out);
  absl::StrAppend(&out, metadata_);
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const GgufTensorEntry& tensor = tensors_[i];
    AppendString(tensor.name, &out);
    AppendNumber(tensor.dims.size(), 4, &out);
    for (const uint64_t dim : tensor.dims) AppendNumber(dim, 8, &out);
    AppendNumber(tensor.type_id, 4, &out);
    AppendNumber(tensor.offset.value_or(offsets[i]), 8, &out);
  }
  out.resize(AlignUp(out.size(), alignment_), static_cast<char>(flaws.padding_byte));
  return out;
}

std::string GgufWriter::Bytes() const {
  const std::vector<uint64_t> offsets = Layout();
  std::string out = Header();
  const uint64_t data_offset = out.size();
  out.resize(data_offset + offsets.back());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].fill == nullptr) continue;
    const std::vector<uint8_t> data = tensors_[i].fill();
    CHECK(data.size() == tensors_[i].bytes);
    std::copy(data.begin(), data.end(),
              out.begin() + static_cast<int64_t>(data_offset + offsets[i]));
  }
  if (flaws.file_size) out.resize(*flaws.file_size);
  return out;
}

absl::Status GgufWriter::Write(const std::string& path) const {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot create '", path, "'"));
  const FdCloser closer{fd};
  const std::vector<uint64_t> offsets = Layout();
  const std::string header = Header();
  RETURN_IF_ERROR(WriteAt(fd, 0, header.data(), header.size()));
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].fill == nullptr) continue;
    const std::vector<uint8_t> data = tensors_[i].fill();
    CHECK(data.size() == tensors_[i].bytes);
    RETURN_IF_ERROR(WriteAt(fd, header.size() + offsets[i], data.data(), data.size()));
  }
  const uint64_t size = flaws.file_size.value_or(header.size() + offsets.back());
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot set the size of '", path, "'"));
  }
  return absl::OkStatus();
}

}  // namespace baton
