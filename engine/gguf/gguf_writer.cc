#include "engine/gguf/gguf_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "engine/gguf/alignment.h"

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

uint64_t RowCount(const GgufTensorEntry& tensor) {
  uint64_t count = 1;
  for (size_t d = 1; d < tensor.dims.size(); ++d) count *= tensor.dims[d];
  return count;
}

// What a thread makes and writes at once: long enough that system calls cost nothing, short enough
// that threads share a tensor evenly.
constexpr uint64_t kPieceBytes = 2 << 20;

// Makes and writes the data of single tensors, with all threads.
class TensorDataWriter {
 public:
  TensorDataWriter(int fd, int thread_count) : fd_(fd), pool_(thread_count) {
    pieces_.resize(static_cast<size_t>(thread_count));
  }

  absl::Status Write(const GgufTensorEntry& tensor, uint64_t offset) {
    const uint64_t row_count = RowCount(tensor);
    const uint64_t row_bytes = tensor.bytes / row_count;
    CHECK(row_bytes * row_count == tensor.bytes);
    const uint64_t piece_rows = std::clamp<uint64_t>(kPieceBytes / row_bytes, 1, row_count);
    const auto piece_count = static_cast<int64_t>((row_count + piece_rows - 1) / piece_rows);
    pool_.Run(piece_count, [&](int64_t task, int thread) {
      const uint64_t first = static_cast<uint64_t>(task) * piece_rows;
      const uint64_t rows = std::min(piece_rows, row_count - first);
      std::vector<uint8_t>& piece = pieces_[static_cast<size_t>(thread)];
      piece.resize(rows * row_bytes);
      absl::Status status = tensor.fill(first, rows, piece.data());
      if (status.ok())
        status = WriteAt(fd_, offset + first * row_bytes, piece.data(), piece.size());
      if (!status.ok()) KeepFirst(task, std::move(status));
    });
    return error_;
  }

 private:
  // The error of the lowest piece: the same one however many threads there are.
  void KeepFirst(int64_t task, absl::Status status) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!error_.ok() && error_piece_ < task) return;
    error_ = std::move(status);
    error_piece_ = task;
  }

  const int fd_;
  ThreadPool pool_;
  std::vector<std::vector<uint8_t>> pieces_;  // by thread
  std::mutex mutex_;
  absl::Status error_;
  int64_t error_piece_ = 0;
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
  const uint64_t row_bytes = RowBytes(type, dims[0]);
  const auto copy_rows = [data = std::move(data), row_bytes](uint64_t first_row, uint64_t row_count,
                                                             uint8_t* out) {
    const uint64_t end = (first_row + row_count) * row_bytes;
    CHECK(end <= data.size());
    std::copy(data.data() + first_row * row_bytes, data.data() + end, out);
    return absl::OkStatus();
  };
  AddTensor(name, type, std::move(dims), TensorFill(copy_rows));
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
    auto* data = reinterpret_cast<uint8_t*>(out.data()) + data_offset + offsets[i];
    CHECK(tensors_[i].fill(0, RowCount(tensors_[i]), data).ok());
  }
  if (flaws.file_size) out.resize(*flaws.file_size);
  return out;
}

absl::Status GgufWriter::Write(const std::string& path, int thread_count,
                               const std::function<void(size_t tensor)>& written) const {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot create '", path, "'"));
  const FdCloser closer{fd};
  const std::vector<uint64_t> offsets = Layout();
  const std::string header = Header();
  RETURN_IF_ERROR(WriteAt(fd, 0, header.data(), header.size()));
  TensorDataWriter data(fd, thread_count);
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].fill == nullptr) continue;
    RETURN_IF_ERROR(data.Write(tensors_[i], header.size() + offsets[i]));
    if (written != nullptr) written(i);
  }
  const uint64_t size = flaws.file_size.value_or(header.size() + offsets.back());
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot set the size of '", path, "'"));
  }
  return absl::OkStatus();
}

}  // namespace baton
