#include "hub/repo.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>
#include <utility>

#include "hub/names.h"
#include "hub/retries.h"
#include "onnxport/cancellation.h"
#include "support/atomic_file.h"
#include "support/fail.h"
#include "support/json.h"
#include "support/printable.h"
#include "support/text.h"

namespace onnxport::hub {
namespace {

constexpr std::size_t kConnections = 8;

std::string revision_of(const HubOptions& options) {
  return options.revision.empty() ? "main" : options.revision;
}

/// The string under a key, or nothing.
std::string string_in(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

Repo::Repo(std::string id, const HubOptions& options)
    : Repo(std::move(id), options, read_settings(options)) {}

Repo::Repo(std::string id, const HubOptions& options, Settings settings)
    : id_(std::move(id)),
      revision_(revision_of(options)),
      settings_(std::move(settings)),
      cache_(settings_.cache, id_),
      listener_(options) {
  check_repo_id(id_);
  check_revision(revision_);
  if (!settings_.offline.empty()) {
    ask_cache("");
  } else {
    ask_hub();
  }
}

std::string Repo::name() const { return fmt::format("'{}' at revision '{}'", id_, revision_); }

/// The Hub's answer. If there is none, `failure` describes the reason.
std::string Repo::look_up_revision(std::string& failure) {
  constexpr std::chrono::seconds kLimit{120};
  try {
    HttpClient client(settings_, stop_);
    Retries retries(settings_, stop_);
    const std::string url =
        fmt::format("{}/api/models/{}/revision/{}", settings_.endpoint, id_, quote(revision_));
    const Response response = send_patiently(client, {.url = url, .limit = kLimit}, retries, true);
    if (response.status == 200) return response.body;
    // Without access, or if the Hub has a problem, the cache can still be used.
    const bool is_final = response.header("x-error-code") == "RevisionNotFound" || settings_.force;
    if (is_final || cache_.find(revision_).empty()) throw refusal(hub(), "", response, retries.count());
    failure = refusal(hub(), "", response, retries.count()).what();
  } catch (const HttpError& error) {
    if (error.kind() == HttpError::Kind::refused || settings_.force) {
      fail(ErrorCode::io, "'{}' cannot be looked up: {}; check the connection, HF_ENDPOINT and proxies", id_,
           error.what());
    }
    failure = error.what();
  }
  return "";
}

void Repo::ask_hub() {
  std::string failure;
  const std::string answer = look_up_revision(failure);
  if (!failure.empty()) return ask_cache(failure);
  const nlohmann::json info = try_parse_json<nlohmann::json>(answer);
  commit_ = string_in(info, "sha");
  if (!is_commit(commit_)) {
    fail(ErrorCode::io,
         "'{}': {} does not answer like a Hub: its 'sha' is '{}', expected a commit; check HF_ENDPOINT and "
         "proxies",
         id_, settings_.endpoint, printable(commit_));
  }
  pipeline_tag_ = string_in(info, "pipeline_tag");
  if (const auto siblings = info.find("siblings"); siblings != info.end() && siblings->is_array()) {
    for (const nlohmann::json& sibling : *siblings) {
      // Ignores names that lead out of the folder.
      std::string file = string_in(sibling, "rfilename");
      if (is_safe_path(file)) files_.push_back(std::move(file));
    }
  }
  std::sort(files_.begin(), files_.end());
  is_online_ = true;
}

void Repo::ask_cache(const std::string& reason) {
  commit_ = cache_.find(revision_);
  if (!commit_.empty()) {
    if (!reason.empty()) listener_.say(fmt::format("{}; using commit {} from the cache", reason, commit_));
    files_ = cache_.files(commit_);
    return;
  }
  const std::string what =
      fmt::format("'{}' is not a local folder, and revision '{}' of that repository is not in the cache '{}'",
                  id_, revision_, cache_.cache().string());
  if (reason.empty()) {
    fail(ErrorCode::io,
         "{}; {} forbids downloading it: leave it out, or give another cache folder with --cache_dir", what,
         settings_.offline);
  }
  fail(ErrorCode::io,
       "{}, and cannot be downloaded: {}; check the connection, HF_ENDPOINT and proxies, or give a local "
       "folder",
       what, reason);
}

void Repo::fetch(const std::vector<std::string>& names) {
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    if (!is_safe_path(name))
      fail(ErrorCode::bad_checkpoint, "{} names a file '{}' outside its folder", id_, printable(name));
    if (settings_.force || !cache_.has(commit_, name)) missing.push_back(name);
  }
  if (missing.empty()) return;
  if (!is_online_) {
    fail(ErrorCode::io,
         "{} is incomplete in the cache '{}': {} is missing{}; download it with network access", name(),
         cache_.cache().string(), missing.front(),
         missing.size() == 1 ? "" : fmt::format(", and {} more", missing.size() - 1));
  }
  std::vector<RemoteFile> files(missing.size());
  work(missing.size(),
       [&](HttpClient& client, std::size_t i) { files[i] = look_up(client, hub(), commit_, missing[i]); });

  cache_.prepare();
  std::uint64_t needed = 0;
  for (const RemoteFile& file : files) {
    listener_.expect(file.size);
    std::error_code error;
    if (!settings_.force && is_cached(cache_, file)) continue;
    const auto there = std::filesystem::file_size(cache_.incomplete(file.etag), error);
    const std::uint64_t more = file.size - (error || there > file.size ? 0 : there);
    needed = more > UINT64_MAX - needed ? UINT64_MAX : needed + more;
  }
  check_free_space(cache_.blobs(), needed);
  work(files.size(), [&](HttpClient& client, std::size_t i) {
    download(client, hub(), files[i]);
    cache_.link(commit_, files[i].name, files[i].etag);
  });
}

/// The first error stops all threads.
void Repo::work(std::size_t count, const std::function<void(HttpClient&, std::size_t)>& task) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr error;
  const Cancellation* const cancellation = Cancellation::of_thread();
  const auto run = [&] {
    const Cancellation::Listening listening(cancellation);
    try {
      HttpClient client(settings_, stop_);
      for (std::size_t i = next++; i < count && !stop_; i = next++) task(client, i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      stop_ = true;
    }
  };
  {
    std::vector<std::jthread> threads;
    try {
      for (std::size_t i = 1; i < std::min(count, kConnections); ++i) threads.emplace_back(run);
    } catch (const std::system_error&) {
      // If the system provides no more threads, the existing ones do the work.
    }
    run();
  }
  if (!error) return;
  stop_ = false;
  try {
    std::rethrow_exception(error);
  } catch (const HttpError& broken) {
    fail(ErrorCode::io,
         "'{}': the download failed: {}; the received data is kept, and the next run resumes there", id_,
         broken.what());
  }
}

void Repo::publish() const {
  if (is_online_) cache_.remember(revision_, commit_);
}

}  // namespace onnxport::hub
