#include "worker/model_finder.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/gguf/shards.h"
#include "proto/handshake.h"
#include "spdlog/spdlog.h"

namespace baton {

namespace fs = std::filesystem;

ModelFinder::ModelFinder(std::string file, std::string folder)
    : file_(std::move(file)), folder_(std::move(folder)) {}

absl::Status ModelFinder::Check() const {
  std::error_code error;
  if (!folder_.empty() && !fs::is_directory(folder_, error)) {
    return absl::NotFoundError(absl::StrCat("there is no folder ", folder_));
  }
  if (file_.empty()) return absl::OkStatus();
  return GgufFile::Read(file_).status();
}

std::vector<std::string> ModelFinder::Candidates() const {
  std::vector<std::string> paths;
  if (!file_.empty()) paths.push_back(file_);
  if (folder_.empty()) return paths;
  std::error_code error;
  fs::recursive_directory_iterator it(folder_, fs::directory_options::skip_permission_denied,
                                      error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const std::string path = it->path().string();
    const std::optional<ShardName> shard = ParseShardName(path);
    // The first shard stands for all.
    if (it->path().extension() == ".gguf" && (!shard || shard->number == 1)) paths.push_back(path);
    if (paths.size() >= kMaxModelFiles) break;
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

absl::StatusOr<ModelIdentity> ModelFinder::IdentityOf(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) {
    return absl::NotFoundError(absl::StrCat("there is no file ", path));
  }
  const uint64_t size = info.st_size;
  const int64_t modified_ns = info.st_mtim.tv_sec * int64_t{1000000000} + info.st_mtim.tv_nsec;
  KnownFile& known = known_[path];
  if (known.identity.ok() && known.size == size && known.modified_ns == modified_ns) {
    return known.identity;
  }
  known.size = size;
  known.modified_ns = modified_ns;
  absl::StatusOr<GgufFile> file = GgufFile::Read(path);
  known.identity = file.ok() ? file->ComputeIdentity() : file.status();
  return known.identity;
}

absl::StatusOr<GgufFile> ModelFinder::Find(const ModelIdentity& identity,
                                           const std::function<bool()>& keep_looking) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::vector<std::string> candidates = Candidates();
  for (const std::string& path : candidates) {
    if (!keep_looking()) return absl::CancelledError("nobody waits for the model any more");
    const absl::StatusOr<ModelIdentity> found = IdentityOf(path);
    if (!found.ok()) {
      spdlog::info("passed over: {}", std::string(found.status().message()));
    } else if (*found == identity) {
      return GgufFile::Read(path);
    }
  }
  std::vector<std::string> places;
  if (!file_.empty()) places.push_back(absl::StrCat("as ", file_));
  if (!folder_.empty()) places.push_back(absl::StrCat("under ", folder_));
  return absl::NotFoundError(absl::StrCat(
      "no file of model ", ShortId(identity), " ",
      places.empty() ? "(started without --model and --models)" : absl::StrJoin(places, " or "),
      ", ", candidates.size(), " looked at"));
}

}  // namespace baton
