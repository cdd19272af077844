// Which of this machine's files is the model that a coordinator asks for: it sends an identity,
// never a path.
#ifndef BATON_WORKER_MODEL_FINDER_H_
#define BATON_WORKER_MODEL_FINDER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/gguf/gguf_file.h"

namespace baton {

// Files looked at under a folder; more is a folder that was not meant.
inline constexpr int kMaxModelFiles = 10000;

// Thread-safe.
class ModelFinder {
 public:
  // `file`: one GGUF file; `folder`: *.gguf in it and below. Either may be empty.
  ModelFinder(std::string file, std::string folder);

  // The file and the folder are there, and the file can be read.
  absl::Status Check() const;

  // Files that cannot be read as GGUF are passed over. NotFound says where was looked; an identity
  // is computed once per file, size and time of its last change, which takes seconds where disks
  // are slow: `keep_looking` is asked before each file, and where it says no the end is Cancelled.
  absl::StatusOr<GgufFile> Find(const ModelIdentity& identity,
                                const std::function<bool()>& keep_looking);

 private:
  struct KnownFile {
    uint64_t size = 0;
    int64_t modified_ns = 0;
    absl::StatusOr<ModelIdentity> identity = absl::UnknownError("");
  };

  std::vector<std::string> Candidates() const;
  absl::StatusOr<ModelIdentity> IdentityOf(const std::string& path);

  const std::string file_;
  const std::string folder_;
  std::mutex mutex_;
  std::map<std::string, KnownFile> known_;
};

}  // namespace baton

#endif  // BATON_WORKER_MODEL_FINDER_H_
