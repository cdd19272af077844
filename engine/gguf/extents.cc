#include "engine/gguf/extents.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/number_text.h"
#include "engine/gguf/alignment.h"
#include "engine/quant/dequantize.h"

namespace baton {
namespace {

constexpr char kGetAgain[] = "get the file again from its publisher";

// Bytes from a tensor's start to where the next one starts or the file ends.
struct Room {
  uint64_t bytes = 0;
  const TensorInfo* next = nullptr;  // null: the file ends
  bool is_last = true;               // no tensor starts later, not even beyond the end of the file
};

// Whether data of `bytes` leaves just the padding of `room`.
bool Fills(uint64_t bytes, const Room& room, uint64_t alignment) {
  return bytes == room.bytes || AlignUp(bytes, alignment) == room.bytes;
}

uint64_t BlockCount(const TensorInfo& tensor) {
  return tensor.elements() / TraitsOf(tensor.type).block_elements;
}

// "token_embd.weight is declared Q4_0: 65,536,000 elements need 36,864,000 bytes at 18 bytes per
// 32"
std::string Declared(const TensorInfo& tensor) {
  const TypeTraits& traits = TraitsOf(tensor.type);
  const std::string each =
      traits.block_elements == 1
          ? absl::StrCat(traits.block_bytes, " bytes each")
          : absl::StrCat(traits.block_bytes, " bytes per ", traits.block_elements);
  return absl::StrCat(tensor.name, " is declared ", traits.name, ": ",
                      WithThousands(tensor.elements()), " elements need ",
                      WithThousands(tensor.bytes), " bytes at ", each);
}

// The types, other than the declared one, whose data would fill the room.
std::vector<std::string> TypesThatFill(const TensorInfo& tensor, const Room& room,
                                       uint64_t alignment) {
  std::vector<std::string> names;
  for (const TypeTraits& traits : AllTypeTraits()) {
    if (!traits.is_weight || traits.type == tensor.type) continue;
    if (tensor.row_elements() % traits.block_elements != 0) continue;
    const uint64_t block_count = tensor.elements() / traits.block_elements;
    if (block_count > room.bytes / traits.block_bytes) continue;
    if (Fills(block_count * traits.block_bytes, room, alignment)) names.push_back(traits.name);
  }
  return names;
}

// What the bytes of the room would be right for; nothing where nothing fits.
std::optional<std::string> Interpretation(const TensorInfo& tensor, const Room& room,
                                          uint64_t alignment) {
  // Where the file is cut, what is left fits by chance alone.
  if (room.next == nullptr && !room.is_last) return std::nullopt;
  const TypeTraits& traits = TraitsOf(tensor.type);
  const uint64_t block_count = BlockCount(tensor);
  const uint64_t block_bytes = room.bytes / block_count;
  const std::string exactly =
      absl::StrCat(", exactly ", block_bytes, " per ", traits.block_elements, ": ");
  const bool fits = block_bytes > 0 && Fills(block_count * block_bytes, room, alignment);
  const size_t scale_bytes = HalfScaleBytes(tensor.type);
  if (fits && scale_bytes > 0 && block_bytes + scale_bytes == traits.block_bytes) {
    return absl::StrCat(exactly, "blocks without their f16 scale", scale_bytes > 2 ? "s" : "", "; ",
                        kGetAgain);
  }
  const std::vector<std::string> types = TypesThatFill(tensor, room, alignment);
  if (types.empty()) return std::nullopt;
  return absl::StrCat(fits ? exactly : ", ", "what type ", absl::StrJoin(types, " or "), " needs; ",
                      kGetAgain);
}

// Some writers leave the scale out of quantized blocks, but count it in the offsets: then only the
// size of the whole file tells.
std::string MissingScalesHint(const std::vector<const TensorInfo*>& by_offset,
                              const DataExtent& data) {
  uint64_t declared_end = data.begin;
  uint64_t end = data.begin;  // without scales
  uint64_t padded_end = data.begin;
  uint64_t block_count = 0;
  for (const TensorInfo* tensor : by_offset) {
    if (tensor->offset != declared_end) return "";
    const uint64_t scale_bytes = HalfScaleBytes(tensor->type);
    if (scale_bytes > 0) block_count += BlockCount(*tensor);
    declared_end = AlignUp(declared_end + tensor->bytes, data.alignment);
    end = padded_end + tensor->bytes - BlockCount(*tensor) * scale_bytes;
    padded_end = AlignUp(end, data.alignment);
    if (end > data.end) return "";
  }
  if (block_count == 0 || (data.end != end && data.end != padded_end)) return "";
  return absl::StrCat(", the size of a file whose ", WithThousands(block_count),
                      " quantized blocks lack their f16 scales; ", kGetAgain);
}

std::vector<const TensorInfo*> SortedByOffset(absl::Span<const TensorInfo> tensors) {
  std::vector<const TensorInfo*> sorted;
  for (const TensorInfo& tensor : tensors) sorted.push_back(&tensor);
  std::sort(sorted.begin(), sorted.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
  });
  return sorted;
}

// The tensors of one file, one after the other.
class ExtentChecker {
 public:
  ExtentChecker(absl::Span<const TensorInfo> tensors, const DataExtent& data, ProblemList* problems)
      : by_offset_(SortedByOffset(tensors)), data_(data), problems_(problems) {}

  void Check() {
    for (size_t i = 0; i < by_offset_.size(); ++i) {
      const TensorInfo* next = i + 1 < by_offset_.size() ? by_offset_[i + 1] : nullptr;
      CheckTensor(*by_offset_[i], RoomBefore(*by_offset_[i], next));
    }
  }

 private:
  Room RoomBefore(const TensorInfo& tensor, const TensorInfo* next) const {
    const bool is_last = next == nullptr;
    if (next != nullptr && next->offset >= data_.end) next = nullptr;
    const uint64_t end = next == nullptr ? data_.end : next->offset;
    return {end - std::min(end, tensor.offset), next, is_last};
  }

  void CheckTensor(const TensorInfo& tensor, const Room& room) {
    const std::optional<std::string> fit = Interpretation(tensor, room, data_.alignment);
    if (tensor.bytes > room.bytes) {
      const std::string reason = fit ? *fit : EndOf(room);
      const std::string message = absl::StrCat(Given(tensor, room), reason);
      AddProblem(
          room.next == nullptr ? absl::DataLossError(message) : absl::InvalidArgumentError(message),
          tensor);
      return;
    }
    const uint64_t surplus = room.bytes - tensor.bytes;
    if (surplus < data_.alignment) return;
    if (room.next != nullptr && fit && TraitsOf(tensor.type).block_elements > 1) {
      AddProblem(absl::InvalidArgumentError(absl::StrCat(Given(tensor, room), *fit)), tensor);
      return;
    }
    const std::string place = room.next == nullptr
                                  ? absl::StrCat("after ", tensor.name, ", the last tensor,")
                                  : absl::StrCat("between ", tensor.name, " and ", room.next->name);
    problems_->Add(
        MakeNote(ProblemKind::kExtent,
                 absl::StrCat(WithThousands(surplus), " bytes ", place, " belong to no tensor"),
                 tensor.name, tensor.offset + tensor.bytes));
  }

  // Why there is no more room, where nothing fits.
  std::string EndOf(const Room& room) {
    if (room.next != nullptr) {
      return absl::StrCat(" before ", room.next->name, " starts at byte ",
                          WithThousands(room.next->offset), ": they overlap");
    }
    // Once, not for each of the tensors that are cut off: it looks at all of them.
    if (!end_of_file_) end_of_file_ = EndOfFile();
    return *end_of_file_;
  }

  std::string EndOfFile() const {
    uint64_t needed = data_.begin;
    for (const TensorInfo* tensor : by_offset_) {
      needed = std::max(needed, tensor->offset + tensor->bytes);
    }
    return absl::StrCat(": it ends at byte ", WithThousands(data_.end), " of ",
                        WithThousands(needed), MissingScalesHint(by_offset_, data_));
  }

  static std::string Given(const TensorInfo& tensor, const Room& room) {
    return absl::StrCat(Declared(tensor), "; the file gives ", WithThousands(room.bytes));
  }

  void AddProblem(absl::Status status, const TensorInfo& tensor) {
    problems_->Add(
        MakeProblem(ProblemKind::kExtent, std::move(status), tensor.name, tensor.offset));
  }

  const std::vector<const TensorInfo*> by_offset_;
  const DataExtent data_;
  ProblemList* const problems_;
  std::optional<std::string> end_of_file_;
};

}  // namespace

void CheckExtents(absl::Span<const TensorInfo> tensors, const DataExtent& data,
                  ProblemList* problems) {
  ExtentChecker(tensors, data, problems).Check();
}

}  // namespace baton
