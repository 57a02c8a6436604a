/// Downloads one file of a repository into the cache.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#include "hub/cache.h"
#include "hub/http.h"
#include "hub/settings.h"

namespace onnxport::hub {

/// Progress of all downloads together, and notices for the user. Thread-safe.
class Listener {
 public:
  explicit Listener(const HubOptions& options)
      : on_progress_(options.on_progress), on_notice_(options.on_notice) {}
  void expect(std::uint64_t bytes);
  void arrived(std::uint64_t bytes);
  /// Bytes that have to be downloaded again.
  void lost(std::uint64_t bytes);
  void say(const std::string& notice);

 private:
  std::function<void(std::uint64_t, std::uint64_t)> on_progress_;
  std::function<void(const std::string&)> on_notice_;
  std::mutex mutex_;
  std::uint64_t done_ = 0, total_ = 0;
};

/// The context of downloads. All members outlive them.
struct Hub {
  const std::string& repo;
  const std::string& revision;  ///< as given by the user
  const Settings& settings;
  const RepoCache& cache;
  const std::atomic<bool>& stop;
  Listener& listener;
};

/// The Hub's information about a file.
struct RemoteFile {
  std::string name;
  std::string url;
  std::string etag;
  std::uint64_t size = 0;
};

/// Asks the Hub about a file of a commit. Throws ExportError(io), HttpError.
RemoteFile look_up(HttpClient& client, const Hub& hub, const std::string& commit, const std::string& name);

/// Whether the complete blob is in the cache.
bool is_cached(const RepoCache& cache, const RemoteFile& file);

/// Downloads the blob of a file into the cache, unless it is already there and `force` is not set. Resumes a
/// partial download, retries after broken connections, and verifies size and hash. Throws ExportError(io),
/// HttpError.
void download(HttpClient& client, const Hub& hub, const RemoteFile& file);

/// The error for an unsuccessful answer. `what`: "model.safetensors", or empty for the repository.
ExportError refusal(const Hub& hub, const std::string& what, const Response& response,
                    const std::string& attempts);

}  // namespace onnxport::hub
