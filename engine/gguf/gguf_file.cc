#include "engine/gguf/gguf_file.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/gguf/gguf_parser.h"
#include "engine/gguf/shards.h"

namespace baton {
namespace {

constexpr absl::string_view kWeightSuffix = ".weight";

// Bytes at each end of a tensor that its model's identity depends on.
constexpr uint64_t kIdentityBytes = 4096;
// Bytes hashed at once.
constexpr size_t kHashChunkBytes = 64 << 10;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    CHECK(context_ != nullptr && EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1);
  }
  ~Sha256() { EVP_MD_CTX_free(context_); }
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(const void* data, size_t size) { CHECK(EVP_DigestUpdate(context_, data, size) == 1); }
  ModelIdentity Finish() {
    ModelIdentity digest;
    unsigned int size = 0;
    CHECK(EVP_DigestFinal_ex(context_, digest.data(), &size) == 1 && size == digest.size());
    return digest;
  }

 private:
  EVP_MD_CTX* context_;
};

absl::Status HashRange(const RandomAccessFile& file, uint64_t begin, uint64_t size, Sha256* hash) {
  std::vector<uint8_t> chunk;
  for (uint64_t done = 0; done < size; done += chunk.size()) {
    chunk.resize(static_cast<size_t>(std::min<uint64_t>(size - done, kHashChunkBytes)));
    RETURN_IF_ERROR(file.ReadAt(begin + done, chunk.data(), chunk.size()));
    hash->Update(chunk.data(), chunk.size());
  }
  return absl::OkStatus();
}

std::string KindText(const GgufValue& value) {
  return absl::StrCat(value.is_array ? "an array of " : "of type ", GgufTypeName(value.type));
}

absl::Status WrongType(absl::string_view key, const GgufValue& value, absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("metadata key '", key, "' is ", KindText(value), ", expected ", expected));
}

absl::StatusOr<float> ToFloat(absl::string_view key, double value) {
  if (std::isfinite(value) && std::fabs(value) > std::numeric_limits<float>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("metadata key '", key, "' is ", value, ", too large for a 32-bit float"));
  }
  return static_cast<float>(value);
}

std::optional<GgufFile> DiagnoseFile(std::unique_ptr<RandomAccessFile> file,
                                     ProblemList* problems) {
  ProblemList own;
  absl::StatusOr<GgufFile> result = GgufParser::Parse(std::move(file), &own);
  const absl::StatusOr<bool> is_shard = result.ok() ? IsShard(*result) : result.status();
  if (!is_shard.ok()) {
    problems->Add({ProblemKind::kHeader, Severity::kBroken, is_shard.status()});
    return std::nullopt;
  }
  // All shards are read again together, with their problems.
  if (*is_shard) return JoinShards(*std::move(result), problems);
  for (const Problem& problem : own.problems()) problems->Add(problem);
  return *std::move(result);
}

}  // namespace

const char* GgufTypeName(GgufType type) {
  constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                    "bool", "string", "array", "u64", "i64", "f64"};
  return kNames[static_cast<uint32_t>(type)];
}

size_t GgufValue::size() const {
  return std::visit([](const auto& vector) { return vector.size(); }, elements);
}

std::string TensorInfo::ShapeText() const {
  return absl::StrJoin(absl::MakeSpan(dims.data(), static_cast<size_t>(dim_count)), " x ");
}

std::string ToHex(const ModelIdentity& identity) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(identity.data()), identity.size()));
}

absl::StatusOr<GgufFile> GgufFile::Read(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file, RandomAccessFile::Open(path));
  ProblemList problems;
  std::optional<GgufFile> result = DiagnoseFile(std::move(file), &problems);
  const absl::Status status = problems.FirstError();
  if (status.ok()) return *std::move(result);
  return Within(absl::StrCat("'", path, "'"), status);
}

std::optional<GgufFile> GgufFile::Diagnose(const std::string& path, ProblemList* problems) {
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> file = RandomAccessFile::Open(path);
  if (file.ok()) return DiagnoseFile(*std::move(file), problems);
  problems->Add({ProblemKind::kHeader, Severity::kBroken, file.status()});
  return std::nullopt;
}

const TensorInfo* GgufFile::FindTensor(absl::string_view name) const {
  auto found = tensor_index_.find(std::string(name));
  if (found == tensor_index_.end()) {
    const std::string other = absl::EndsWith(name, kWeightSuffix)
                                  ? std::string(absl::StripSuffix(name, kWeightSuffix))
                                  : absl::StrCat(name, kWeightSuffix);
    found = tensor_index_.find(other);
  }
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

const GgufValue* GgufFile::FindValue(absl::string_view key) const {
  const auto found = metadata_.find(std::string(key));
  return found == metadata_.end() ? nullptr : &found->second;
}

absl::StatusOr<std::optional<uint32_t>> GgufFile::GetU32(absl::string_view key) const {
  constexpr absl::string_view kExpected = "an integer from 0 to 4294967295";
  const GgufValue* value = FindValue(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array || value->type == GgufType::kBool) return WrongType(key, *value, kExpected);
  std::string found;
  if (const auto* u = std::get_if<std::vector<uint64_t>>(&value->elements)) {
    if (u->front() <= UINT32_MAX) return static_cast<uint32_t>(u->front());
    found = absl::StrCat(u->front());
  } else if (const auto* i = std::get_if<std::vector<int64_t>>(&value->elements)) {
    if (i->front() >= 0 && i->front() <= UINT32_MAX) return static_cast<uint32_t>(i->front());
    found = absl::StrCat(i->front());
  } else {
    return WrongType(key, *value, kExpected);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("metadata key '", key, "' is ", found, ", expected ", kExpected));
}

absl::StatusOr<std::optional<float>> GgufFile::GetF32(absl::string_view key) const {
  const GgufValue* value = FindValue(key);
  if (value == nullptr) return std::nullopt;
  const auto* floats = std::get_if<std::vector<double>>(&value->elements);
  if (value->is_array || floats == nullptr) return WrongType(key, *value, "f32 or f64");
  ASSIGN_OR_RETURN(const float result, ToFloat(key, floats->front()));
  return result;
}

absl::StatusOr<std::optional<bool>> GgufFile::GetBool(absl::string_view key) const {
  const GgufValue* value = FindValue(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array || value->type != GgufType::kBool) return WrongType(key, *value, "bool");
  return std::get<std::vector<uint64_t>>(value->elements).front() != 0;
}

absl::StatusOr<std::optional<std::string>> GgufFile::GetString(absl::string_view key) const {
  const GgufValue* value = FindValue(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array || value->type != GgufType::kString) return WrongType(key, *value, "string");
  return std::get<std::vector<std::string>>(value->elements).front();
}

absl::StatusOr<const std::vector<std::string>*> GgufFile::GetStrings(absl::string_view key) const {
  const GgufValue* value = FindValue(key);
  if (value == nullptr) return nullptr;
  if (!value->is_array || value->type != GgufType::kString) {
    return WrongType(key, *value, "an array of string");
  }
  return &std::get<std::vector<std::string>>(value->elements);
}

absl::StatusOr<std::optional<std::vector<float>>> GgufFile::GetFloats(absl::string_view key) const {
  const GgufValue* value = FindValue(key);
  if (value == nullptr) return std::nullopt;
  const auto* floats = std::get_if<std::vector<double>>(&value->elements);
  if (floats == nullptr) return WrongType(key, *value, "an array of f32 or f64");
  std::vector<float> result;
  result.reserve(floats->size());
  for (const double element : *floats) {
    ASSIGN_OR_RETURN(const float number, ToFloat(key, element));
    result.push_back(number);
  }
  return result;
}

absl::StatusOr<std::optional<std::vector<int64_t>>> GgufFile::GetIntegers(
    absl::string_view key) const {
  const GgufValue* value = FindValue(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* i = std::get_if<std::vector<int64_t>>(&value->elements)) return *i;
  const auto* u = std::get_if<std::vector<uint64_t>>(&value->elements);
  if (u == nullptr) return WrongType(key, *value, "an array of integers");
  std::vector<int64_t> result;
  result.reserve(u->size());
  for (const uint64_t element : *u) {
    if (element > static_cast<uint64_t>(INT64_MAX)) {
      return absl::InvalidArgumentError(absl::StrCat("metadata key '", key, "' contains ", element,
                                                     ", expected at most ", INT64_MAX));
    }
    result.push_back(static_cast<int64_t>(element));
  }
  return result;
}

absl::StatusOr<std::string> GgufFile::Architecture() const {
  ASSIGN_OR_RETURN(const std::optional<std::string> name, GetString("general.architecture"));
  if (!name || name->empty()) {
    return absl::InvalidArgumentError(
        "the file does not name its architecture (key general.architecture)");
  }
  return *name;
}

absl::StatusOr<ModelIdentity> GgufFile::ComputeIdentity() const {
  Sha256 hash;
  for (const Shard& shard : shards_) {
    const uint64_t file_size = shard.file->size();
    RETURN_IF_ERROR(HashRange(*shard.file, 0, std::min(shard.data_offset, file_size), &hash));
    uint8_t size_bytes[8];
    for (int i = 0; i < 8; ++i) size_bytes[i] = static_cast<uint8_t>(file_size >> (8 * i));
    hash.Update(size_bytes, sizeof(size_bytes));
  }
  for (const TensorInfo& tensor : tensors_) {
    const uint64_t count = std::min(tensor.bytes, kIdentityBytes);
    const RandomAccessFile& file = FileOf(tensor);
    RETURN_IF_ERROR(HashRange(file, tensor.offset, count, &hash));
    RETURN_IF_ERROR(HashRange(file, tensor.offset + tensor.bytes - count, count, &hash));
  }
  return hash.Finish();
}

}  // namespace baton
