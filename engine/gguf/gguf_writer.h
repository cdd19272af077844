// Writes GGUF files: those that tools make, and for tests ones that are broken on purpose.
#ifndef BATON_ENGINE_GGUF_GGUF_WRITER_H_
#define BATON_ENGINE_GGUF_GGUF_WRITER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/gguf/gguf_file.h"
#include "engine/quant/types.h"

namespace baton {

// Makes the bytes of `row_count` rows of one tensor, when they are written. Called from several
// threads at once, in any order.
using TensorFill =
    std::function<absl::Status(uint64_t first_row, uint64_t row_count, uint8_t* out)>;

// Everything of the container that can be wrong; the defaults are right. For tests.
struct GgufFlaws {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> tensor_count;    // written instead of the number of tensors
  std::optional<uint64_t> metadata_count;  // and of the number of entries
  uint8_t padding_byte = 0;                // between the header and the data
  bool final_padding = true;               // after the last tensor; false is right too
  std::optional<uint64_t> file_size;       // the file is cut, or grows, to this many bytes
};

// A tensor as its table entry says it is. Nothing here is checked.
struct GgufTensorEntry {
  std::string name;
  std::vector<uint64_t> dims;  // dims[0] is contiguous
  uint32_t type_id = 0;
  std::optional<uint64_t> offset;  // from the start of the data; default: after its predecessor
  uint64_t bytes = 0;              // room that the data takes
  TensorFill fill;                 // none: a hole in the file, which reads as zeros
};

// Keys and tensors are written in the order of the calls; nothing is checked for sense. Not
// thread-safe.
class GgufWriter {
 public:
  GgufFlaws flaws;

  void SetU32(absl::string_view key, uint32_t value);
  void SetF32(absl::string_view key, float value);
  void SetBool(absl::string_view key, bool value);
  void SetString(absl::string_view key, absl::string_view value);
  void SetStrings(absl::string_view key, std::vector<std::string> values);
  void SetI32s(absl::string_view key, const std::vector<int32_t>& values);
  void SetF32s(absl::string_view key, const std::vector<float>& values);
  void Set(absl::string_view key, const GgufValue& value);
  // A value that is `bytes` as they stand, after the type id.
  void SetRaw(absl::string_view key, uint32_t type_id, absl::string_view bytes);
  // Sets general.alignment and lays the data out by it.
  void SetAlignment(uint32_t alignment);
  // Lays the data out by it and says nothing about it in the file.
  void SetLayoutAlignment(uint64_t alignment) { alignment_ = alignment; }

  // Without `fill` the tensor is a hole; `data` must be the bytes that type and dims call for.
  void AddTensor(absl::string_view name, TensorType type, std::vector<uint64_t> dims,
                 TensorFill fill = nullptr);
  void AddTensor(absl::string_view name, TensorType type, std::vector<uint64_t> dims,
                 std::vector<uint8_t> data);
  void AddTensorEntry(GgufTensorEntry entry);

  // Everything before the data, with its padding.
  std::string Header() const;
  // The whole file. For small ones.
  std::string Bytes() const;
  // Writes the file, tensor by tensor, with a few MiB of memory per thread; tensors without data
  // stay holes on disk. The first error of a fill ends it. `written`, if there is one, is called
  // with the index of each tensor after its data, on the caller's thread.
  absl::Status Write(const std::string& path, int thread_count = 1,
                     const std::function<void(size_t tensor)>& written = nullptr) const;

 private:
  // Of every tensor, from the start of the data; the last element is the end of the data.
  std::vector<uint64_t> Layout() const;

  uint64_t alignment_ = 32;
  uint64_t metadata_count_ = 0;
  std::string metadata_;
  std::vector<GgufTensorEntry> tensors_;
};

}  // namespace baton

#endif  // BATON_ENGINE_GGUF_GGUF_WRITER_H_
