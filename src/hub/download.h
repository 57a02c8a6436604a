/// One file of a repository, from the hub into the cache.
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

/// Bytes of all downloads together, and lines for the user. For several threads.
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

/// What downloads work with. All of it outlives them.
struct Hub {
  const std::string& repo;
  const std::string& revision;  ///< as the user calls it
  const Settings& settings;
  const RepoCache& cache;
  const std::atomic<bool>& stop;
  Listener& listener;
};

/// What the hub says of a file.
struct RemoteFile {
  std::string name;
  std::string url;
  std::string etag;
  std::uint64_t size = 0;
};

/// Asks the hub for a file of a commit. Throws ExportError(io), HttpError.
RemoteFile look_up(HttpClient& client, const Hub& hub, const std::string& commit, const std::string& name);

/// Is the blob in the cache, whole?
bool is_cached(const RepoCache& cache, const RemoteFile& file);

/// Puts the blob of a file into the cache, unless it is there and `force` is not set: goes on with a part
/// that is there, again where the connection breaks, and verifies size and hash. Throws ExportError(io),
/// HttpError.
void download(HttpClient& client, const Hub& hub, const RemoteFile& file);

/// The error for an answer that is no success. `what`: "model.safetensors", or empty for the repository.
ExportError refusal(const Hub& hub, const std::string& what, const Response& response,
                    const std::string& attempts);

}  // namespace onnxport::hub
