/// A Hub repository, accessed through the cache.
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

/// One commit of a repository. With the network, the Hub resolves the revision and lists the files. Without
/// it, the cache does, and the files are those that were downloaded before.
class Repo {
 public:
  /// Resolves the revision. Throws ExportError(invalid_argument) for an invalid id, and ExportError(io) if
  /// neither the Hub nor the cache has it.
  Repo(std::string id, const HubOptions& options);
  /// With settings that do not come from the environment.
  Repo(std::string id, const HubOptions& options, Settings settings);
  Repo(const Repo&) = delete;
  Repo& operator=(const Repo&) = delete;

  const std::string& id() const { return id_; }
  const std::string& commit() const { return commit_; }
  /// "'org/name' at revision 'main'", for messages.
  std::string name() const;
  /// What the Hub calls the task; empty if it does not say, or was not asked.
  const std::string& pipeline_tag() const { return pipeline_tag_; }
  /// Sorted, with `/`.
  const std::vector<std::string>& files() const { return files_; }
  /// The folder of the files after fetch().
  std::filesystem::path folder() const { return cache_.snapshot(commit_); }

  /// Downloads those of these files that are missing. Throws ExportError(io), but keeps the downloaded data.
  void fetch(const std::vector<std::string>& names);
  /// Records in the cache that the revision is this commit. Call it when all needed files are there, so that
  /// the cache refers to an older, complete snapshot until then.
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
  std::string pipeline_tag_;
  std::vector<std::string> files_;
  bool is_online_ = false;
};

}  // namespace onnxport::hub
