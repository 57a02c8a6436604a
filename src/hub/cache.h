/// The cache folder shared with the Hub's other tools. Its layout is that of huggingface_hub 0.36
/// (file_download.py), so the tools find each other's downloads:
///
///     models--ORG--NAME/refs/main                   the commit that a branch or tag was last seen at
///     models--ORG--NAME/snapshots/<commit>/<file>   a relative link to a blob
///     models--ORG--NAME/blobs/<etag>                the bytes of a file; with .incomplete a part of them
///     .locks/models--ORG--NAME/<etag>.lock          flock(2) of who downloads this blob
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "support/descriptor.h"

namespace onnxport::hub {

/// One repository in the cache. Folders are created only when something is written. All functions that write
/// throw ExportError(io).
class RepoCache {
 public:
  RepoCache(std::filesystem::path cache, std::string_view repo);

  const std::filesystem::path& cache() const { return cache_; }
  std::filesystem::path blobs() const { return folder_ / "blobs"; }
  std::filesystem::path blob(std::string_view etag) const { return blobs() / etag; }
  std::filesystem::path incomplete(std::string_view etag) const;
  std::filesystem::path snapshot(std::string_view commit) const { return folder_ / "snapshots" / commit; }

  /// The commit of a branch, tag or commit that has a snapshot; empty if there is none.
  std::string find(std::string_view revision) const;
  /// Files of a snapshot, with `/`, sorted. Broken links do not count.
  std::vector<std::string> files(std::string_view commit) const;
  bool has(std::string_view commit, std::string_view file) const;

  /// Makes the folder of blobs.
  void prepare() const;
  /// Makes the file of a snapshot a link to a blob.
  void link(std::string_view commit, std::string_view file, std::string_view etag) const;
  /// Stores the commit of a branch or tag.
  void remember(std::string_view revision, std::string_view commit) const;

 private:
  friend class BlobLock;
  std::filesystem::path cache_;
  std::string name_;
  std::filesystem::path folder_;
};

/// A lock for the one process and thread that downloads a blob.
class BlobLock {
 public:
  /// Waits until nobody else holds it, or until `stop`. Calls `on_wait` once if that takes a while.
  BlobLock(const RepoCache& cache, std::string_view etag, const std::atomic<bool>& stop,
           const std::function<void()>& on_wait);

 private:
  Descriptor file_;
};

}  // namespace onnxport::hub
