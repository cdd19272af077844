// A model in several files, "NAME-00001-of-00003.gguf" and so on. Source: the naming convention and
// the keys split.no (from 0), split.count and split.tensors.count of the GGUF format's own tool.
// The first shard has the metadata; every shard has a tensor table and the data of its own tensors.
#ifndef BATON_ENGINE_GGUF_SHARDS_H_
#define BATON_ENGINE_GGUF_SHARDS_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/gguf/gguf_file.h"
#include "engine/gguf/problem.h"

namespace baton {

// Files of a model: four times those of the largest published one, and fewer than a process may
// have open.
inline constexpr int kMaxShards = 1000;

// What a file says of its place among the shards: keys that a whole model has not.
inline constexpr char kShardIndexKey[] = "split.no";
inline constexpr char kShardCountKey[] = "split.count";
inline constexpr char kShardTensorCountKey[] = "split.tensors.count";

// The name of a shard, taken apart.
struct ShardName {
  std::string prefix;  // the path up to "-00001"
  int number = 0;      // from 1
  int count = 0;

  // The path of another shard.
  std::string PathOf(int other_number) const;
};

// Nothing for a name that is not one of a shard.
std::optional<ShardName> ParseShardName(const std::string& path);

// Whether the file says that it is one of several.
absl::StatusOr<bool> IsShard(const GgufFile& file);

// The whole model, from any one shard of it. Problems of all shards are added; nothing where they
// cannot be put together.
std::optional<GgufFile> JoinShards(GgufFile any_shard, ProblemList* problems);

}  // namespace baton

#endif  // BATON_ENGINE_GGUF_SHARDS_H_
