#include "engine/gguf/gguf_parser.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/gguf/alignment.h"
#include "engine/gguf/extents.h"

namespace baton {
namespace {

// Bytes of a foreign name that an error message shows.
constexpr size_t kMaxQuotedBytes = 100;

std::string Quoted(absl::string_view name) {
  const bool is_long = name.size() > kMaxQuotedBytes;
  return absl::StrCat("'", absl::Utf8SafeCEscape(name.substr(0, kMaxQuotedBytes)),
                      is_long ? "...'" : "'");
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

absl::Status CheckShape(const std::vector<uint64_t>& dims) {
  uint64_t elements = 1;
  for (size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("dimension ", d + 1, " of ", dims.size(), " is 0, expected at least 1"));
    }
    if (dims[d] > kMaxTensorSize / elements) {
      return absl::InvalidArgumentError(absl::StrCat("its dimensions multiply to more than ",
                                                     kMaxTensorSize, " elements: dimension ", d + 1,
                                                     " of ", dims.size(), " is ", dims[d]));
    }
    elements *= dims[d];
  }
  return absl::OkStatus();
}

absl::StatusOr<const TypeTraits*> CheckType(uint32_t id) {
  if (const TypeTraits* traits = FindTypeTraits(id)) return traits;
  if (const char* removed = RemovedTypeName(id)) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has type ", removed, " (id ", id, "), which was removed from the format"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("type id ", id, " is not one of the format as it is known here"));
}

// Of a tensor with valid dimensions.
absl::Status CheckBlocks(const TensorInfo& tensor, const TypeTraits& traits) {
  if (tensor.row_elements() % traits.block_elements != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a row of ", tensor.row_elements(), " weights is not a multiple of the ",
                     traits.block_elements, " in a block of type ", traits.name));
  }
  const uint64_t block_count = tensor.elements() / traits.block_elements;
  if (block_count > kMaxTensorSize / traits.block_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("its ", block_count, " blocks of ",
                                                   traits.block_bytes,
                                                   " bytes are more than any file holds"));
  }
  return absl::OkStatus();
}

absl::Status CheckOffset(uint64_t offset, uint64_t alignment) {
  if (offset % alignment != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("offset ", offset, " is not a multiple of the alignment, ", alignment));
  }
  if (offset > kMaxTensorSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("offset ", offset, " is beyond the end of any file"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GgufFile> GgufParser::Parse(std::shared_ptr<RandomAccessFile> file,
                                           ProblemList* problems) {
  GgufParser parser(std::move(file), problems);
  RETURN_IF_ERROR(parser.ParseAll());
  return std::move(parser.result_);
}

GgufParser::GgufParser(std::shared_ptr<RandomAccessFile> file, ProblemList* problems)
    : reader_(*file), problems_(problems) {
  result_.shards_.push_back({std::move(file), 0});
}

absl::Status GgufParser::ParseAll() {
  RETURN_IF_ERROR(ParseMagicAndVersion());
  RETURN_IF_ERROR(ParseCounts());
  RETURN_IF_ERROR(ParseMetadata());
  RETURN_IF_ERROR(TakeAlignment());
  RETURN_IF_ERROR(ParseTensors());
  RETURN_IF_ERROR(ParsePadding());
  CheckExtents(result_.tensors_,
               {result_.data_offset(), result_.file()->size(), result_.alignment_}, problems_);
  return absl::OkStatus();
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
  RETURN_IF_ERROR(CheckCount(tensor_count_, kMaxTensors, kMinTensorInfoBytes, "tensors"));
  return CheckCount(metadata_count_, kMaxMetadataEntries, kMinMetadataBytes, "metadata entries");
}

absl::Status GgufParser::CheckCount(uint64_t count, uint64_t most, uint64_t bytes_each,
                                    absl::string_view what) const {
  const std::string declared = absl::StrCat("its header declares ", count, " ", what);
  const uint64_t room = reader_.remaining() / bytes_each;
  if (count > room) {
    return absl::DataLossError(absl::StrCat(declared, ", but the file ends at byte ",
                                            result_.file()->size(),
                                            ", which leaves room for at most ", room));
  }
  if (count <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(declared, ", expected at most ", most));
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

absl::Status GgufParser::CheckArray(uint64_t count, GgufType type) {
  const uint64_t most = reader_.remaining() / static_cast<uint64_t>(ElementBytes(type));
  if (count > most) {
    return absl::DataLossError(absl::StrCat("an array of ", count, " ", GgufTypeName(type),
                                            " starts at byte ", reader_.position(),
                                            ", but the file ends at byte ", result_.file()->size(),
                                            ", which leaves room for at most ", most));
  }
  array_words_ += type == GgufType::kString ? kWordsPerString * count : count;
  if (array_words_ <= kMaxArrayWords) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("an array of ", count, " ", GgufTypeName(type), " starts at byte ",
                   reader_.position(), ", and with it all arrays would take ", array_words_,
                   " words of memory, expected at most ", kMaxArrayWords));
}

absl::Status GgufParser::ParseElements(uint64_t count, GgufValue* value) {
  const int bytes = ElementBytes(value->type);
  if (value->is_array) RETURN_IF_ERROR(CheckArray(count, value->type));
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

absl::Status GgufParser::ParseTensors() {
  for (uint64_t i = 0; i < tensor_count_; ++i) {
    std::string where = absl::StrCat("tensor ", i + 1, " of ", tensor_count_);
    const uint64_t position = reader_.position();
    Entry entry;
    absl::StatusOr<std::string> name = reader_.ReadString("its name");
    if (!name.ok()) return Within(where, name.status());
    const absl::Status name_status = CheckName(*name, kMaxTensorNameBytes);
    if (!name_status.ok()) return Within(where, name_status);
    absl::StrAppend(&where, ", ", Quoted(*name));
    entry.name = *std::move(name);
    const absl::Status read = ParseEntry(&entry);
    if (!read.ok()) return Within(where, read);
    ProblemKind kind = ProblemKind::kTensorTable;
    const absl::Status added = AddTensor(entry, &kind);
    if (!added.ok()) {
      problems_->Add(MakeProblem(kind, Within(where, added), entry.name, position));
    }
  }
  return absl::OkStatus();
}

absl::Status GgufParser::ParseEntry(Entry* entry) {
  ASSIGN_OR_RETURN(const uint64_t dim_count, reader_.ReadUnsigned(4, "its dimension count"));
  if (dim_count < 1 || dim_count > kMaxTensorDims) {
    return absl::InvalidArgumentError(
        absl::StrCat(dim_count, " dimensions, expected 1 to ", kMaxTensorDims));
  }
  for (uint64_t d = 0; d < dim_count; ++d) {
    ASSIGN_OR_RETURN(entry->dims.emplace_back(), reader_.ReadUnsigned(8, "its dimensions"));
  }
  ASSIGN_OR_RETURN(const uint64_t type_id, reader_.ReadUnsigned(4, "its type"));
  entry->type_id = static_cast<uint32_t>(type_id);
  ASSIGN_OR_RETURN(entry->offset, reader_.ReadUnsigned(8, "its offset"));
  return absl::OkStatus();
}

absl::Status GgufParser::AddTensor(const Entry& entry, ProblemKind* kind) {
  RETURN_IF_ERROR(CheckShape(entry.dims));
  TensorInfo tensor;
  tensor.name = entry.name;
  tensor.dim_count = static_cast<int>(entry.dims.size());
  std::copy(entry.dims.begin(), entry.dims.end(), tensor.dims.begin());
  *kind = ProblemKind::kType;
  ASSIGN_OR_RETURN(const TypeTraits* traits, CheckType(entry.type_id));
  *kind = ProblemKind::kTensorTable;
  RETURN_IF_ERROR(CheckBlocks(tensor, *traits));
  tensor.type = traits->type;
  tensor.bytes = tensor.elements() / traits->block_elements * traits->block_bytes;
  RETURN_IF_ERROR(CheckOffset(entry.offset, result_.alignment_));
  tensor.offset = entry.offset;
  if (!result_.tensor_index_.emplace(tensor.name, result_.tensors_.size()).second) {
    return absl::InvalidArgumentError("the name occurs twice");
  }
  result_.tensors_.push_back(std::move(tensor));
  return absl::OkStatus();
}

absl::Status GgufParser::ParsePadding() {
  const uint64_t header_end = reader_.position();
  const uint64_t data_offset = AlignUp(header_end, result_.alignment_);
  result_.shards_[0].data_offset = data_offset;
  for (TensorInfo& tensor : result_.tensors_) tensor.offset += data_offset;
  // Something else here means that the header goes on where its counts say that it ends.
  while (reader_.position() < data_offset && reader_.remaining() > 0) {
    ASSIGN_OR_RETURN(const uint64_t byte, reader_.ReadUnsigned(1, "the padding"));
    if (byte == 0 || tensor_count_ == 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("the tensor table ends at byte ", header_end, " and the data starts at byte ",
                     data_offset, ", but byte ", reader_.position() - 1, " between them is ", byte,
                     ", expected 0; is the tensor count of ", tensor_count_, " right?"));
  }
  return absl::OkStatus();
}

}  // namespace baton
