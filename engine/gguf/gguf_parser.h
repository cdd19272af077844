// Bytes of one file to GgufFile: the only code that believes nothing of the file. Source of the
// layout: the GGUF format as published by its maintainers.
//
//   "GGUF"  version u32  tensor count u64  metadata count u64
//   metadata count x   key string, value type u32, value
//   tensor count x     name string, dimension count u32, dimensions u64 each, type u32, offset u64
//   zeros up to a multiple of general.alignment
//   tensor data; a tensor's offset counts from here
//
// A string is a u64 length and its bytes; an array is an element type u32, a u64 count and the
// elements. Everything is little-endian.
#ifndef BATON_ENGINE_GGUF_GGUF_PARSER_H_
#define BATON_ENGINE_GGUF_GGUF_PARSER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/gguf/gguf_file.h"
#include "engine/gguf/header_reader.h"
#include "engine/gguf/problem.h"

namespace baton {

// Bytes; the format's own limit.
inline constexpr size_t kMaxKeyBytes = 65535;
// Bytes; the format's own limit.
inline constexpr size_t kMaxTensorNameBytes = 64;
// Bytes: the format wants a multiple of 8, every writer uses a power of two; no huge page is
// larger.
inline constexpr uint64_t kMinAlignment = 8;
inline constexpr uint64_t kMaxAlignment = uint64_t{1} << 21;
// Elements, bytes of a tensor, offsets: more than any file system holds, and three of them can be
// added without wrapping.
inline constexpr uint64_t kMaxTensorSize = uint64_t{1} << 62;
// Bytes of the shortest possible entry of each table: they bound the counts by what the file can
// hold.
inline constexpr uint64_t kMinMetadataBytes = 8 + 1 + 4 + 1;
inline constexpr uint64_t kMinTensorInfoBytes = 8 + 1 + 4 + 8 + 4 + 8;
// Entries of each table: fifty times those of the largest published models.
inline constexpr uint64_t kMaxTensors = uint64_t{1} << 16;
inline constexpr uint64_t kMaxMetadataEntries = uint64_t{1} << 16;
// Words of 8 bytes that the elements of all metadata arrays take in memory: a number one, however
// short it is on disk, a string four beside its text. The largest published vocabulary, with its
// scores, types and merges, takes 3.6 million.
inline constexpr uint64_t kWordsPerString = 4;
inline constexpr uint64_t kMaxArrayWords = uint64_t{6} << 20;

class GgufParser {
 public:
  // What is wrong with single tensors is added to `problems`, and they are left out of the result;
  // an error is one after which nothing more can be read. Neither names the file.
  static absl::StatusOr<GgufFile> Parse(std::shared_ptr<RandomAccessFile> file,
                                        ProblemList* problems);

 private:
  // A tensor as its table entry has it.
  struct Entry {
    std::string name;
    std::vector<uint64_t> dims;
    uint32_t type_id = 0;
    uint64_t offset = 0;
  };

  GgufParser(std::shared_ptr<RandomAccessFile> file, ProblemList* problems);

  absl::Status ParseAll();
  absl::Status ParseMagicAndVersion();
  absl::Status ParseCounts();
  // `count` entries, at most `most`, of at least `bytes_each` must fit in what is left of the file.
  absl::Status CheckCount(uint64_t count, uint64_t most, uint64_t bytes_each,
                          absl::string_view what) const;
  absl::Status ParseMetadata();
  absl::StatusOr<GgufValue> ParseValue();
  absl::Status CheckArray(uint64_t count, GgufType type);
  absl::Status ParseElements(uint64_t count, GgufValue* value);
  absl::Status TakeAlignment();
  absl::Status ParseTensors();
  absl::Status ParseEntry(Entry* entry);
  absl::Status AddTensor(const Entry& entry, ProblemKind* kind);
  absl::Status ParsePadding();

  GgufFile result_;
  HeaderReader reader_;
  ProblemList* const problems_;
  uint64_t tensor_count_ = 0;
  uint64_t metadata_count_ = 0;
  uint64_t array_words_ = 0;  // of metadata arrays so far
};

}  // namespace baton

#endif  // BATON_ENGINE_GGUF_GGUF_PARSER_H_
