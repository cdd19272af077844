#include "engine/gguf/shards.h"

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "engine/base/status_macros.h"
#include "engine/gguf/gguf_parser.h"

namespace baton {
namespace {

constexpr char kAlignmentKey[] = "general.alignment";

// Takes a number of five digits off the end of `text`.
bool ConsumeNumber(absl::string_view* text, int* number) {
  constexpr size_t kDigits = 5;
  if (text->size() < kDigits) return false;
  const absl::string_view digits = text->substr(text->size() - kDigits);
  for (const char c : digits) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
  }
  text->remove_suffix(kDigits);
  return absl::SimpleAtoi(digits, number);
}

// What a file says about its place among the shards.
struct ShardKeys {
  uint32_t index = 0;
  uint32_t count = 0;
  std::optional<uint32_t> tensor_count;  // of all shards together
};

absl::StatusOr<ShardKeys> ReadShardKeys(const GgufFile& file) {
  ShardKeys keys;
  ASSIGN_OR_RETURN(const std::optional<uint32_t> count, file.GetU32(kShardCountKey));
  keys.count = count.value_or(1);
  ASSIGN_OR_RETURN(const std::optional<uint32_t> index, file.GetU32(kShardIndexKey));
  keys.index = index.value_or(0);
  ASSIGN_OR_RETURN(keys.tensor_count, file.GetU32(kShardTensorCountKey));
  return keys;
}

absl::Status CheckKey(absl::string_view key, uint64_t found, uint64_t expected,
                      absl::string_view why) {
  if (found == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(key, " is ", found, ", expected ", expected, ", ", why));
}

}  // namespace

std::string ShardName::PathOf(int other_number) const {
  return absl::StrFormat("%s-%05d-of-%05d.gguf", prefix, other_number, count);
}

std::optional<ShardName> ParseShardName(const std::string& path) {
  ShardName name;
  absl::string_view rest = path;
  if (!absl::ConsumeSuffix(&rest, ".gguf") || !ConsumeNumber(&rest, &name.count) ||
      !absl::ConsumeSuffix(&rest, "-of-") || !ConsumeNumber(&rest, &name.number) ||
      !absl::ConsumeSuffix(&rest, "-") || name.number < 1 || name.number > name.count) {
    return std::nullopt;
  }
  name.prefix = std::string(rest);
  return name;
}

absl::StatusOr<bool> IsShard(const GgufFile& file) {
  ASSIGN_OR_RETURN(const ShardKeys keys, ReadShardKeys(file));
  return keys.count > 1;
}

// Puts the shards together one by one, in their order.
class ShardJoiner {
 public:
  explicit ShardJoiner(ProblemList* problems) : problems_(problems) {}

  absl::Status Join(const GgufFile& any_shard) {
    ASSIGN_OR_RETURN(const ShardKeys keys, ReadShardKeys(any_shard));
    const std::optional<ShardName> name = ParseShardName(any_shard.path());
    if (!name) {
      return absl::InvalidArgumentError(absl::StrCat(
          "it is part ", uint64_t{keys.index} + 1, " of ", keys.count, " by its ", kShardIndexKey,
          ", but its name does not end as \"-00001-of-00003.gguf\" does, by which the other parts "
          "are found"));
    }
    if (name->count > kMaxShards) {
      return absl::InvalidArgumentError(
          absl::StrCat("a model in ", name->count, " files, expected at most ", kMaxShards));
    }
    for (int number = 1; number <= name->count; ++number) {
      const std::string path = name->PathOf(number);
      const std::string where =
          absl::StrCat("part ", number, " of ", name->count, ", '", path, "'");
      ProblemList problems;
      const absl::Status status = AddShard(path, number - 1, name->count, &problems);
      for (Problem problem : problems.problems()) {
        problem.status = Within(where, problem.status);
        problems_->Add(std::move(problem));
      }
      if (!status.ok()) return Within(where, status);
    }
    return CheckTensorCount();
  }

  GgufFile Take() { return *std::move(model_); }

 private:
  absl::Status AddShard(const std::string& path, int index, int count, ProblemList* problems) {
    absl::StatusOr<std::unique_ptr<RandomAccessFile>> file = RandomAccessFile::Open(path);
    if (absl::IsNotFound(file.status())) return absl::NotFoundError("there is no such file");
    RETURN_IF_ERROR(file.status());
    ASSIGN_OR_RETURN(GgufFile shard, GgufParser::Parse(*std::move(file), problems));
    ASSIGN_OR_RETURN(const ShardKeys keys, ReadShardKeys(shard));
    RETURN_IF_ERROR(CheckKey(kShardCountKey, keys.count, count, "as the file's name has it"));
    RETURN_IF_ERROR(CheckKey(kShardIndexKey, keys.index, index, "as the file's name has it"));
    if (!model_.has_value()) {
      model_ = std::move(shard);
      tensor_count_ = keys.tensor_count;
      return absl::OkStatus();
    }
    if (keys.tensor_count && tensor_count_) {
      RETURN_IF_ERROR(CheckKey(kShardTensorCountKey, *keys.tensor_count, *tensor_count_,
                               "as in the first part"));
    }
    RETURN_IF_ERROR(CheckMetadata(shard));
    return TakeTensors(std::move(shard));
  }

  // A later shard need not repeat the first one's keys, but must not contradict them.
  absl::Status CheckMetadata(const GgufFile& shard) const {
    for (const auto& [key, value] : shard.metadata()) {
      const GgufValue* first = model_->FindValue(key);
      const bool is_own = key == kShardIndexKey || key == kShardCountKey ||
                          key == kShardTensorCountKey || key == kAlignmentKey;
      if (is_own || first == nullptr || first->elements == value.elements) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("key ", key, " differs from the first part's: it is of another model"));
    }
    return absl::OkStatus();
  }

  absl::Status TakeTensors(GgufFile shard) {
    const int index = model_->shard_count();
    model_->shards_.push_back(std::move(shard.shards_[0]));
    for (TensorInfo& tensor : shard.tensors_) {
      tensor.shard = index;
      if (!model_->tensor_index_.emplace(tensor.name, model_->tensors_.size()).second) {
        return absl::InvalidArgumentError(
            absl::StrCat("tensor ", tensor.name, " is in an earlier part too"));
      }
      model_->tensors_.push_back(std::move(tensor));
    }
    return absl::OkStatus();
  }

  absl::Status CheckTensorCount() const {
    const bool is_whole =
        !problems_->Has(ProblemKind::kTensorTable) && !problems_->Has(ProblemKind::kType);
    if (!tensor_count_ || !is_whole) return absl::OkStatus();
    return CheckKey(kShardTensorCountKey, *tensor_count_, model_->tensors_.size(),
                    "the tensors that all parts have together");
  }

  ProblemList* const problems_;
  std::optional<GgufFile> model_;
  std::optional<uint32_t> tensor_count_;  // as the first shard has it
};

std::optional<GgufFile> JoinShards(GgufFile any_shard, ProblemList* problems) {
  ShardJoiner joiner(problems);
  const absl::Status status = joiner.Join(any_shard);
  if (status.ok()) return joiner.Take();
  problems->Add({ProblemKind::kShard, Severity::kBroken, status});
  return std::nullopt;
}

}  // namespace baton
