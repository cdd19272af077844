#include "engine/testing/model_splitter.h"

#include <cstdint>
#include <utility>

#include "engine/base/status_macros.h"
#include "engine/gguf/gguf_file.h"
#include "engine/gguf/gguf_writer.h"
#include "engine/gguf/shards.h"

namespace baton {
namespace {

GgufValue Unsigned(GgufType type, uint64_t value) {
  return {type, false, std::vector<uint64_t>{value}};
}

absl::Status CopyTensor(const GgufFile& file, const TensorInfo& tensor, GgufWriter* writer) {
  std::vector<uint8_t> data(tensor.bytes);
  RETURN_IF_ERROR(file.FileOf(tensor).ReadAt(tensor.offset, data.data(), data.size()));
  writer->AddTensor(tensor.name, tensor.type,
                    {tensor.dims.begin(), tensor.dims.begin() + tensor.dim_count}, std::move(data));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> SplitModel(const std::string& path,
                                                    const std::string& prefix, int count) {
  ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Read(path));
  const size_t tensor_count = file.tensors().size();
  const ShardName name = {prefix, 1, count};
  std::vector<std::string> paths;
  for (int shard = 0; shard < count; ++shard) {
    GgufWriter writer;
    if (shard == 0) {
      for (const auto& [key, value] : file.metadata()) writer.Set(key, value);
    }
    writer.Set("split.no", Unsigned(GgufType::kU16, shard));
    writer.Set("split.count", Unsigned(GgufType::kU16, count));
    writer.Set("split.tensors.count",
               {GgufType::kI32, false, std::vector<int64_t>{static_cast<int64_t>(tensor_count)}});
    for (size_t t = tensor_count * shard / count; t < tensor_count * (shard + 1) / count; ++t) {
      RETURN_IF_ERROR(CopyTensor(file, file.tensors()[t], &writer));
    }
    paths.push_back(name.PathOf(shard + 1));
    RETURN_IF_ERROR(writer.Write(paths.back()));
  }
  return paths;
}

}  // namespace baton
