// What a GGUF model says about itself: metadata and tensor table, of one file or of several shards.
// Reads the headers alone (and at most a page beyond each), never tensor data, and checks every
// number of a file against a bound before it is used.
#ifndef BATON_ENGINE_GGUF_GGUF_FILE_H_
#define BATON_ENGINE_GGUF_GGUF_FILE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/file.h"
#include "engine/gguf/problem.h"
#include "engine/quant/types.h"

namespace baton {

// The values are on-disk ids: do not change them.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// As in "u32". Of a type that is in the enumeration.
const char* GgufTypeName(GgufType type);

// One metadata value. A scalar is an array of one with is_array false.
struct GgufValue {
  GgufType type;  // of the value, or of the elements of an array
  bool is_array = false;
  // Elements by kind: all unsigned integers and bool as u64, signed as i64, floats as double.
  std::variant<std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>,
               std::vector<std::string>>
      elements;
  size_t size() const;
};

inline constexpr int kMaxTensorDims = 4;

struct TensorInfo {
  std::string name;
  TensorType type;
  int dim_count = 0;
  std::array<uint64_t, kMaxTensorDims> dims = {1, 1, 1, 1};  // dims[0] is contiguous: a row
  int shard = 0;                                             // which of the model's files has it
  uint64_t offset = 0;  // from the start of that file, in bytes
  uint64_t bytes = 0;

  uint64_t elements() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
  uint64_t row_elements() const { return dims[0]; }
  uint64_t row_count() const { return dims[1] * dims[2] * dims[3]; }
  // "32 x 512", the row length first, as the file has it.
  std::string ShapeText() const;
};

// SHA-256 over the header and size of every file and the first and last 4 KiB of every tensor: two
// checkpoints can share a header. Equal identities mean the same model.
using ModelIdentity = std::array<uint8_t, 32>;
std::string ToHex(const ModelIdentity& identity);

// Immutable after Read, so thread-safe.
class GgufFile {
 public:
  // `path`: the file, or any shard of a model in several ("-00001-of-00003.gguf"): all of them are
  // found beside it and checked to belong together.
  //
  // Errors name the file, the thing, the byte, what was found and what was expected: DataLoss for
  // a file that ends early, FailedPrecondition for one that is sound but not supported (a version,
  // a tensor type), InvalidArgument for one that contradicts itself or the format, NotFound for one
  // that is not there, a shard among them.
  static absl::StatusOr<GgufFile> Read(const std::string& path);
  // The same, but goes on after the first error as far as it can: all problems are added, and
  // tensors that cannot be are left out. Nothing where a header cannot be read to its end.
  static std::optional<GgufFile> Diagnose(const std::string& path, ProblemList* problems);

  // Of the only file, or the first shard: it has the metadata.
  const std::string& path() const { return file()->path(); }
  const std::shared_ptr<RandomAccessFile>& file() const { return shards_[0].file; }
  int shard_count() const { return static_cast<int>(shards_.size()); }
  const RandomAccessFile& shard_file(int shard) const { return *shards_[shard].file; }
  // What the loader reads a tensor's bytes through.
  const RandomAccessFile& FileOf(const TensorInfo& tensor) const {
    return shard_file(tensor.shard);
  }
  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }
  // Where tensor data starts, in bytes.
  uint64_t data_offset(int shard = 0) const { return shards_[shard].data_offset; }

  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  // "blk.0.attn_q" and "blk.0.attn_q.weight" find the same tensor. Null when there is none.
  const TensorInfo* FindTensor(absl::string_view name) const;

  const std::unordered_map<std::string, GgufValue>& metadata() const { return metadata_; }
  const GgufValue* FindValue(absl::string_view key) const;
  bool Has(absl::string_view key) const { return FindValue(key) != nullptr; }

  // Typed access. A key that is absent gives nullopt; one of another type, a negative or too large
  // number is InvalidArgument naming key, found and expected. Any integer type serves GetU32.
  absl::StatusOr<std::optional<uint32_t>> GetU32(absl::string_view key) const;
  absl::StatusOr<std::optional<float>> GetF32(absl::string_view key) const;  // F32 or F64
  absl::StatusOr<std::optional<bool>> GetBool(absl::string_view key) const;
  absl::StatusOr<std::optional<std::string>> GetString(absl::string_view key) const;
  // Null when absent. The pointers live as long as this object.
  absl::StatusOr<const std::vector<std::string>*> GetStrings(absl::string_view key) const;
  // A single number serves as an array of one: some keys are either, by model.
  absl::StatusOr<std::optional<std::vector<float>>> GetFloats(absl::string_view key) const;
  absl::StatusOr<std::optional<std::vector<int64_t>>> GetIntegers(absl::string_view key) const;

  // general.architecture, which every model must have.
  absl::StatusOr<std::string> Architecture() const;

  // Reads the headers and up to 8 KiB per tensor. Not cached.
  absl::StatusOr<ModelIdentity> ComputeIdentity() const;

 private:
  friend class GgufParser;
  friend class ShardJoiner;
  struct Shard {
    std::shared_ptr<RandomAccessFile> file;
    uint64_t data_offset = 0;
  };
  GgufFile() = default;
  std::vector<Shard> shards_;  // at least one
  uint32_t version_ = 0;
  uint64_t alignment_ = 32;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, GgufValue> metadata_;
  std::unordered_map<std::string, size_t> tensor_index_;
};

}  // namespace baton

#endif  // BATON_ENGINE_GGUF_GGUF_FILE_H_
