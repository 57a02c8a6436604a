#include "hub/cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include "hub/names.h"
#include "support/atomic_file.h"
#include "support/file.h"

namespace onnxport::hub {
namespace {

namespace fs = std::filesystem;

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw io_error("create the folder", folder, error.value());
}

std::string folder_name(std::string_view repo) {
  std::string name = "models--";
  for (const char c : repo) name += c == '/' ? std::string("--") : std::string(1, c);
  return name;
}

/// The content of a file in `refs/`, if it is a commit.
std::string read_commit(const fs::path& file) {
  constexpr std::uint64_t kLargest = 4096;
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return "";
  std::string text = read_text_file(file, kLargest);
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return is_commit(text) ? text : "";
}

}  // namespace

RepoCache::RepoCache(fs::path cache, std::string_view repo)
    : cache_(std::move(cache)), name_(folder_name(repo)), folder_(cache_ / name_) {}

fs::path RepoCache::incomplete(std::string_view etag) const {
  return blobs() / fmt::format("{}.incomplete", etag);
}

std::string RepoCache::find(std::string_view revision) const {
  std::string commit = is_commit(revision) ? std::string(revision) : read_commit(folder_ / "refs" / revision);
  std::error_code ignored;
  if (!commit.empty() && !fs::is_directory(snapshot(commit), ignored)) commit.clear();
  return commit;
}

std::vector<std::string> RepoCache::files(std::string_view commit) const {
  std::vector<std::string> found;
  const fs::path top = snapshot(commit);
  std::error_code error;
  for (fs::recursive_directory_iterator entry(top, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored))
      found.push_back(entry->path().lexically_relative(top).generic_string());
  }
  if (error) throw io_error("list the folder", top, error.value());
  std::sort(found.begin(), found.end());
  return found;
}

bool RepoCache::has(std::string_view commit, std::string_view file) const {
  std::error_code ignored;
  return fs::is_regular_file(snapshot(commit) / file, ignored);
}

void RepoCache::prepare() const { make_folder(blobs()); }

void RepoCache::link(std::string_view commit, std::string_view file, std::string_view etag) const {
  const fs::path path = snapshot(commit) / file;
  make_folder(path.parent_path());
  const fs::path target = blob(etag).lexically_relative(path.parent_path());
  // If the process dies in between, the blob stays, and the next process links it without a download.
  for (int attempt = 0; attempt < 2; ++attempt) {
    std::error_code error;
    if (fs::read_symlink(path, error) == target) return;
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw io_error("replace", path, errno);
    if (::symlink(target.c_str(), path.c_str()) == 0) return;
    if (errno != EEXIST) throw io_error("create the link", path, errno);
  }
  throw io_error("create the link", path, EEXIST);
}

void RepoCache::remember(std::string_view revision, std::string_view commit) const {
  const fs::path file = folder_ / "refs" / revision;
  if (revision == commit || read_commit(file) == commit) return;
  make_folder(file.parent_path());
  // Temporary files stay out of refs/, because other tools treat every file there as a ref.
  AtomicFile ref(folder_ / fmt::format("ref-{}", ::gettid()));
  ref.append(commit);
  ref.commit();
  if (::rename(ref.target().c_str(), file.c_str()) != 0) {
    const int error = errno;
    ::unlink(ref.target().c_str());
    throw io_error("create", file, error);
  }
}

BlobLock::BlobLock(const RepoCache& cache, std::string_view etag, const std::atomic<bool>& stop,
                   const std::function<void()>& on_wait) {
  constexpr std::chrono::milliseconds kStep{50};
  constexpr int kStepsBeforeWords = 40;
  const fs::path path = cache.cache_ / ".locks" / cache.name_ / fmt::format("{}.lock", etag);
  make_folder(path.parent_path());
  for (int step = 0; !stop; ++step) {
    file_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    if (file_.get() < 0) throw io_error("open", path, errno);
    int result = 0;
    do {
      result = ::flock(file_.get(), LOCK_EX | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    // Some holders remove the file at the end, which leaves the lock on a deleted file. On a file system
    // without locks, two processes may download the same file. Both write the same bytes, which are verified
    // in any case.
    struct stat info{};
    if (result == 0 && ::fstat(file_.get(), &info) == 0 && info.st_nlink > 0) return;
    if (result != 0 && errno != EWOULDBLOCK) return;
    file_.reset();
    if (step == kStepsBeforeWords && on_wait) on_wait();
    if (result != 0) std::this_thread::sleep_for(kStep);
  }
}

}  // namespace onnxport::hub
