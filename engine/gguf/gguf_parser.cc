#include "engine/gguf/gguf_parser.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

// Bytes of a foreign name that an error message shows.
constexpr size_t kMaxQuotedBytes = 100;

std::string Quoted(absl::string_view name) {
  const bool is_long = name.size() > kMaxQuotedBytes;
  return absl::StrCat("'", absl::Utf8SafeCEscape(name.substr(0, kMaxQuotedBytes)),
                      is_long ? "...'" : "'");
}

// `status` with `context` in front of its message.
absl::Status Within(absl::string_view context, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

// Names are printed, compared and sent around: no control characters.
absl::Status CheckName(absl::string_view name, size_t max_bytes) {
  if (name.empty()) return absl::InvalidArgumentError("its name is empty");
  if (name.size() > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("its name ", Quoted(name), " has ", name.size(),
                                                   " bytes, at most ", max_bytes, " are allowed"));
  }
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      return absl::InvalidArgumentError(
          absl::StrCat("its name ", Quoted(name), " contains a control character"));
    }
  }
  return absl::OkStatus();
}

bool IsOldGgmlMagic(absl::string_view magic) {
  for (const char* old : {"ggml", "ggmf", "ggjt", "ggla"}) {
    // The old formats wrote their magic as a number, so on disk it is reversed.
    if (magic == old || std::equal(magic.rbegin(), magic.rend(), old)) return true;
  }
  return false;
}

// Bytes of a value on disk; of a string, those of its length.
int ElementBytes(GgufType type) {
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
    case GgufType::kF32:
      return 4;
    case GgufType::kString:
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kArray:
      break;
  }
  return 0;
}

int64_t SignExtend(uint64_t value, int bytes) {
  const int unused_bits = 64 - 8 * bytes;
  return static_cast<int64_t>(value << unused_bits) >> unused_bits;
}

std::string Describe(const TensorInfo& tensor) {
  return absl::StrCat(Quoted(tensor.name), " (", TraitsOf(tensor.type).name, ", ",
                      tensor.ShapeText(), ")");
}

}  // namespace

absl::StatusOr<GgufFile> GgufParser::Parse(std::shared_ptr<RandomAccessFile> file) {
  const std::string path = file->path();
  GgufParser parser(std::move(file));
  const absl::Status status = parser.ParseAll();
  if (!status.ok()) return Within(absl::StrCat("'", path, "'"), status);
  return std::move(parser.result_);
}

GgufParser::GgufParser(std::shared_ptr<RandomAccessFile> file) : reader_(*file) {
  result_.file_ = std::move(file);
}

absl::Status GgufParser::ParseAll() {
  RETURN_IF_ERROR(ParseMagicAndVersion());
  RETURN_IF_ERROR(ParseCounts());
  RETURN_IF_ERROR(ParseMetadata());
  RETURN_IF_ERROR(TakeAlignment());
  RETURN_IF_ERROR(RefuseShards());
  RETURN_IF_ERROR(ParseTensors());
  RETURN_IF_ERROR(ParsePadding());
  return CheckExtents();
}

absl::Status GgufParser::ParseMagicAndVersion() {
  if (reader_.remaining() < 4) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a GGUF file: it has ", reader_.remaining(), " bytes"));
  }
  ASSIGN_OR_RETURN(const uint64_t number, reader_.ReadUnsigned(4, "the magic"));
  std::string magic;
  for (int i = 0; i < 4; ++i) magic.push_back(static_cast<char>(number >> (8 * i)));
  if (IsOldGgmlMagic(magic)) {
    return absl::FailedPreconditionError(
        absl::StrCat("it has the magic ", Quoted(magic),
                     " of the GGML formats that came before GGUF; convert the model again"));
  }
  if (magic != "GGUF") {
    return absl::InvalidArgumentError(
        absl::StrCat("not a GGUF file: it starts with ", Quoted(magic), ", expected 'GGUF'"));
  }
  ASSIGN_OR_RETURN(const uint64_t version, reader_.ReadUnsigned(4, "the version"));
  if (version != 0 && (version & 0xFFFF) == 0) {
    return absl::FailedPreconditionError(
        "a big-endian GGUF file (its version is byte-swapped); only little-endian files are read");
  }
  if (version == 1) {
    return absl::FailedPreconditionError(
        "GGUF version 1 (with 32-bit counts) is not supported, expected 2 or 3; convert the model "
        "again");
  }
  if (version != 2 && version != 3) {
    return absl::FailedPreconditionError(
        absl::StrCat("GGUF version ", version, " is not known, expected 2 or 3"));
  }
  result_.version_ = static_cast<uint32_t>(version);
  return absl::OkStatus();
}

absl::Status GgufParser::ParseCounts() {
  ASSIGN_OR_RETURN(tensor_count_, reader_.ReadUnsigned(8, "the tensor count"));
  ASSIGN_OR_RETURN(metadata_count_, reader_.ReadUnsigned(8, "the metadata count"));
  RETURN_IF_ERROR(CheckCount(tensor_count_, kMinTensorInfoBytes, "tensors"));
  return CheckCount(metadata_count_, kMinMetadataBytes, "metadata entries");
}

absl::Status GgufParser::CheckCount(uint64_t count, uint64_t bytes_each,
                                    absl::string_view what) const {
  const uint64_t most = reader_.remaining() / bytes_each;
  if (count <= most) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("its header declares ", count, " ", what,
                                          ", but the file ends at byte ", result_.file_->size(),
                                          ", which leaves room for at most ", most));
}

absl::Status GgufParser::ParseMetadata() {
  for (uint64_t i = 0; i < metadata_count_; ++i) {
    std::string where = absl::StrCat("metadata entry ", i + 1, " of ", metadata_count_);
    absl::StatusOr<std::string> key = reader_.ReadString("its key");
    if (!key.ok()) return Within(where, key.status());
    const absl::Status name_status = CheckName(*key, kMaxKeyBytes);
    if (!name_status.ok()) return Within(where, name_status);
    absl::StrAppend(&where, ", ", Quoted(*key));
    absl::StatusOr<GgufValue> value = ParseValue();
    if (!value.ok()) return Within(where, value.status());
    if (!result_.metadata_.emplace(*std::move(key), *std::move(value)).second) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": the key occurs twice"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufValue> GgufParser::ParseValue() {
  constexpr uint64_t kLastType = static_cast<uint64_t>(GgufType::kF64);
  GgufValue value;
  uint64_t count = 1;
  ASSIGN_OR_RETURN(uint64_t type, reader_.ReadUnsigned(4, "its value type"));
  if (type == static_cast<uint64_t>(GgufType::kArray)) {
    value.is_array = true;
    ASSIGN_OR_RETURN(type, reader_.ReadUnsigned(4, "its element type"));
    ASSIGN_OR_RETURN(count, reader_.ReadUnsigned(8, "its element count"));
    if (type == static_cast<uint64_t>(GgufType::kArray)) {
      return absl::InvalidArgumentError("an array of arrays, which is not supported");
    }
  }
  if (type > kLastType) {
    return absl::InvalidArgumentError(
        absl::StrCat("value type ", type, " is not defined, expected 0 to ", kLastType));
  }
  value.type = static_cast<GgufType>(type);
  RETURN_IF_ERROR(ParseElements(count, &value));
  return value;
}

absl::Status GgufParser::ParseElements(uint64_t count, GgufValue* value) {
  const int bytes = ElementBytes(value->type);
  const uint64_t most = reader_.remaining() / static_cast<uint64_t>(bytes);
  if (count > most && value->is_array) {
    return absl::DataLossError(absl::StrCat("an array of ", count, " ", GgufTypeName(value->type),
                                            " starts at byte ", reader_.position(),
                                            ", but the file ends at byte ", result_.file_->size(),
                                            ", which leaves room for at most ", most));
  }
  switch (value->type) {
    case GgufType::kString: {
      auto& strings = value->elements.emplace<std::vector<std::string>>();
      strings.reserve(static_cast<size_t>(count));
      for (uint64_t i = 0; i < count; ++i) {
        ASSIGN_OR_RETURN(std::string text, reader_.ReadString("a string value"));
        strings.push_back(std::move(text));
      }
      return absl::OkStatus();
    }
    case GgufType::kI8:
    case GgufType::kI16:
    case GgufType::kI32:
    case GgufType::kI64: {
      auto& integers = value->elements.emplace<std::vector<int64_t>>();
      integers.reserve(static_cast<size_t>(count));
      for (uint64_t i = 0; i < count; ++i) {
        ASSIGN_OR_RETURN(const uint64_t raw, reader_.ReadUnsigned(bytes, "an integer value"));
        integers.push_back(SignExtend(raw, bytes));
      }
      return absl::OkStatus();
    }
    case GgufType::kF32:
    case GgufType::kF64: {
      auto& floats = value->elements.emplace<std::vector<double>>();
      floats.reserve(static_cast<size_t>(count));
      for (uint64_t i = 0; i < count; ++i) {
        ASSIGN_OR_RETURN(const uint64_t raw, reader_.ReadUnsigned(bytes, "a float value"));
        floats.push_back(bytes == 8 ? std::bit_cast<double>(raw)
                                    : std::bit_cast<float>(static_cast<uint32_t>(raw)));
      }
      return absl::OkStatus();
    }
    default: {
      auto& integers = value->elements.emplace<std::vector<uint64_t>>();
      integers.reserve(static_cast<size_t>(count));
      for (uint64_t i = 0; i < count; ++i) {
        ASSIGN_OR_RETURN(const uint64_t raw, reader_.ReadUnsigned(bytes, "an integer value"));
        if (value->type == GgufType::kBool && raw > 1) {
          return absl::InvalidArgumentError(absl::StrCat(
              "a bool of ", raw, " at byte ", reader_.position() - 1, ", expected 0 or 1"));
        }
        integers.push_back(raw);
      }
      return absl::OkStatus();
    }
  }
}

absl::Status GgufParser::TakeAlignment() {
  const GgufValue* value = result_.FindValue("general.alignment");
  if (value == nullptr) return absl::OkStatus();
  if (value->is_array || value->type != GgufType::kU32) {
    return absl::InvalidArgumentError(
        absl::StrCat("general.alignment is ", value->is_array ? "an array" : "of type ",
                     value->is_array ? "" : GgufTypeName(value->type), ", expected a u32"));
  }
  const uint64_t alignment = std::get<std::vector<uint64_t>>(value->elements)[0];
  if (!std::has_single_bit(alignment) || alignment < kMinAlignment || alignment > kMaxAlignment) {
    return absl::InvalidArgumentError(absl::StrCat("general.alignment is ", alignment,
                                                   ", expected a power of two from ", kMinAlignment,
                                                   " to ", kMaxAlignment));
  }
  result_.alignment_ = alignment;
  return absl::OkStatus();
}

absl::Status GgufParser::RefuseShards() const {
  ASSIGN_OR_RETURN(const std::optional<uint32_t> count, result_.GetU32("split.count"));
  if (!count || *count <= 1) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<uint32_t> index, result_.GetU32("split.no"));
  return absl::FailedPreconditionError(
      absl::StrCat("sharded GGUF files are not supported yet: this is part ",
                   uint64_t{index.value_or(0)} + 1, " of ", *count, "; merge it with gguf-split"));
}

absl::Status GgufParser::ParseTensors() {
  for (uint64_t i = 0; i < tensor_count_; ++i) {
    std::string where = absl::StrCat("tensor ", i + 1, " of ", tensor_count_);
    TensorInfo tensor;
    absl::StatusOr<std::string> name = reader_.ReadString("its name");
    if (!name.ok()) return Within(where, name.status());
    const absl::Status name_status = CheckName(*name, kMaxTensorNameBytes);
    if (!name_status.ok()) return Within(where, name_status);
    absl::StrAppend(&where, ", ", Quoted(*name));
    tensor.name = *std::move(name);
    const absl::Status status = ParseTensor(&tensor);
    if (!status.ok()) return Within(where, status);
    if (!result_.tensor_index_.emplace(tensor.name, result_.tensors_.size()).second) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": the name occurs twice"));
    }
    result_.tensors_.push_back(std::move(tensor));
  }
  return absl::OkStatus();
}

absl::Status GgufParser::ParseTensor(TensorInfo* tensor) {
  RETURN_IF_ERROR(ParseShape(tensor));
  RETURN_IF_ERROR(ParseType(tensor));
  ASSIGN_OR_RETURN(tensor->offset, reader_.ReadUnsigned(8, "its offset"));
  if (tensor->offset % result_.alignment_ != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "offset ", tensor->offset, " is not a multiple of the alignment, ", result_.alignment_));
  }
  if (tensor->offset > kMaxTensorSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("offset ", tensor->offset, " is beyond the end of any file"));
  }
  return absl::OkStatus();
}

absl::Status GgufParser::ParseShape(TensorInfo* tensor) {
  ASSIGN_OR_RETURN(const uint64_t dim_count, reader_.ReadUnsigned(4, "its dimension count"));
  if (dim_count < 1 || dim_count > kMaxTensorDims) {
    return absl::InvalidArgumentError(
        absl::StrCat(dim_count, " dimensions, expected 1 to ", kMaxTensorDims));
  }
  tensor->dim_count = static_cast<int>(dim_count);
  uint64_t elements = 1;
  for (int d = 0; d < tensor->dim_count; ++d) {
    ASSIGN_OR_RETURN(tensor->dims[d], reader_.ReadUnsigned(8, "its dimensions"));
    if (tensor->dims[d] == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("dimension ", d + 1, " of ", dim_count, " is 0, expected at least 1"));
    }
    if (tensor->dims[d] > kMaxTensorSize / elements) {
      return absl::InvalidArgumentError(absl::StrCat("its dimensions multiply to more than ",
                                                     kMaxTensorSize, " elements: dimension ", d + 1,
                                                     " of ", dim_count, " is ", tensor->dims[d]));
    }
    elements *= tensor->dims[d];
  }
  return absl::OkStatus();
}

absl::Status GgufParser::ParseType(TensorInfo* tensor) {
  ASSIGN_OR_RETURN(const uint64_t raw, reader_.ReadUnsigned(4, "its type"));
  const uint32_t id = static_cast<uint32_t>(raw);
  const TypeTraits* traits = FindTypeTraits(id);
  if (traits == nullptr) {
    if (const char* removed = RemovedTypeName(id)) {
      return absl::InvalidArgumentError(absl::StrCat("it has type ", removed, " (id ", id,
                                                     "), which was removed from the format"));
    }
    return absl::FailedPreconditionError(
        absl::StrCat("type id ", id, " is not one of the format as it is known here"));
  }
  tensor->type = traits->type;
  if (tensor->dims[0] % traits->block_elements != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a row of ", tensor->dims[0], " weights is not a multiple of the ",
                     traits->block_elements, " in a block of type ", traits->name));
  }
  const uint64_t block_count = tensor->elements() / traits->block_elements;
  if (block_count > kMaxTensorSize / traits->block_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("its ", block_count, " blocks of ",
                                                   traits->block_bytes,
                                                   " bytes are more than any file holds"));
  }
  tensor->bytes = block_count * traits->block_bytes;
  return absl::OkStatus();
}

absl::Status GgufParser::ParsePadding() {
  const uint64_t header_end = reader_.position();
  result_.data_offset_ = AlignUp(header_end, result_.alignment_);
  for (TensorInfo& tensor : result_.tensors_) tensor.offset += result_.data_offset_;
  // Something else here means that the header goes on where its counts say that it ends.
  while (reader_.position() < result_.data_offset_ && reader_.remaining() > 0) {
    ASSIGN_OR_RETURN(const uint64_t byte, reader_.ReadUnsigned(1, "the padding"));
    if (byte == 0 || result_.tensors_.empty()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "the tensor table ends at byte ", header_end, " and the data starts at byte ",
        result_.data_offset_, ", but byte ", reader_.position() - 1, " between them is ", byte,
        ", expected 0; is the tensor count of ", tensor_count_, " right?"));
  }
  return absl::OkStatus();
}

absl::Status GgufParser::CheckExtents() const {
  std::vector<const TensorInfo*> by_offset;
  uint64_t data_end = 0;
  for (const TensorInfo& tensor : result_.tensors_) {
    by_offset.push_back(&tensor);
    data_end = std::max(data_end, tensor.offset + tensor.bytes);
  }
  std::sort(by_offset.begin(), by_offset.end(),
            [](const TensorInfo* a, const TensorInfo* b) { return a->offset < b->offset; });
  const uint64_t file_size = result_.file_->size();
  for (size_t i = 0; i < by_offset.size(); ++i) {
    const TensorInfo& tensor = *by_offset[i];
    const uint64_t end = tensor.offset + tensor.bytes;
    if (end > file_size) {
      return absl::DataLossError(absl::StrCat(
          "the file ends at byte ", file_size, ", but tensor ", Describe(tensor), " needs the ",
          tensor.bytes, " bytes from byte ", tensor.offset, " up to ", end,
          "; all tensors together need a file of ", data_end, " bytes", MissingScalesHint()));
    }
    if (i + 1 < by_offset.size() && end > by_offset[i + 1]->offset) {
      const TensorInfo& next = *by_offset[i + 1];
      return absl::InvalidArgumentError(
          absl::StrCat("tensors overlap: ", Describe(tensor), " needs the ", tensor.bytes,
                       " bytes from byte ", tensor.offset, " up to ", end, ", but ", Describe(next),
                       " starts at byte ", next.offset, MissingScalesHint()));
    }
  }
  return absl::OkStatus();
}

// Some writers leave the scale out of Q4_0 blocks: 16 bytes instead of 18. Their files have exactly
// the size that follows from that.
std::string GgufParser::MissingScalesHint() const {
  constexpr uint64_t kScaleBytes = 2;
  uint64_t size = result_.data_offset_;
  uint64_t padded_size = result_.data_offset_;
  uint64_t block_count = 0;
  for (const TensorInfo& tensor : result_.tensors_) {
    uint64_t bytes = tensor.bytes;
    if (tensor.type == TensorType::kQ4_0) {
      const uint64_t blocks = bytes / TraitsOf(tensor.type).block_bytes;
      bytes -= blocks * kScaleBytes;
      block_count += blocks;
    }
    if (bytes > result_.file_->size()) return "";
    size = padded_size + bytes;
    padded_size = AlignUp(size, result_.alignment_);
  }
  const uint64_t file_size = result_.file_->size();
  if (block_count == 0 || (file_size != size && file_size != padded_size)) return "";
  return absl::StrCat(". That is the size of a file whose ", block_count,
                      " Q4_0 blocks have 16 bytes each: they lack their 2-byte scale, without "
                      "which the weights are lost; convert the model again");
}

}  // namespace baton
