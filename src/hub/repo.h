/// A repository of the hub, through the cache.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hub/cache.h"
#include "hub/download.h"
#include "hub/settings.h"

namespace onnxport::hub {

/// One commit of a repository. With the network, the hub says which commit a revision is and which files it
/// has; without, the cache does: then the files are those that somebody has downloaded.
class Repo {
 public:
  /// Resolves the revision. Throws ExportError(invalid_argument) for an id that is
  /// none, ExportError(io) when neither the hub nor the cache has it.
  Repo(std::string id, const HubOptions& options);
  /// With settings that do not come from the environment.
  Repo(std::string id, const HubOptions& options, Settings settings);
  Repo(const Repo&) = delete;
  Repo& operator=(const Repo&) = delete;

  const std::string& id() const { return id_; }
  const std::string& commit() const { return commit_; }
  /// "'org/name' at revision 'main'", for messages.
  std::string name() const;
  /// Sorted, with `/`.
  const std::vector<std::string>& files() const { return files_; }
  /// Where files are after fetch().
  std::filesystem::path folder() const { return cache_.snapshot(commit_); }

  /// Downloads what is missing of these files. Throws ExportError(io); what has been downloaded stays.
  void fetch(const std::vector<std::string>& names);
  /// Lets the cache say that the revision is this commit. To be called when all that is needed is there, so
  /// that an older, complete snapshot is found until then.
  void publish() const;

 private:
  std::string look_up_revision(std::string& failure);
  void ask_hub();
  void ask_cache(const std::string& reason);
  void work(std::size_t count, const std::function<void(HttpClient&, std::size_t)>& task);
  Hub hub() { return {id_, revision_, settings_, cache_, stop_, listener_}; }

  std::string id_;
  std::string revision_;
  Settings settings_;
  RepoCache cache_;
  Listener listener_;
  std::atomic<bool> stop_ = false;  ///< a worker has failed
  std::string commit_;
  std::vector<std::string> files_;
  bool is_online_ = false;
};

}  // namespace onnxport::hub
