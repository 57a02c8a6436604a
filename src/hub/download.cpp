#include "hub/download.h"

#include <charconv>
#include <optional>
#include <system_error>

#include "hub/blob_writer.h"
#include "hub/names.h"
#include "hub/retries.h"
#include "support/cancelled.h"
#include "support/fail.h"
#include "support/printable.h"
#include "support/text.h"

namespace onnxport::hub {
namespace {

namespace fs = std::filesystem;

constexpr int kOk = 200, kPart = 206, kBadRange = 416;

/// Parses a plausible file size in bytes.
std::optional<std::uint64_t> size_of(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return static_cast<std::uint64_t>(value);
}

/// The position in the file at which the body of an answer starts.
std::optional<std::uint64_t> start_of(const Response& response) {
  if (response.status == kOk) return 0;
  std::string_view range = response.header("content-range");  // bytes 100-199/200
  constexpr std::string_view kUnit = "bytes ";
  if (!range.starts_with(kUnit)) return std::nullopt;
  range.remove_prefix(kUnit.size());
  return size_of(range.substr(0, range.find('-')));
}

/// Without W/ and quotes.
std::string normalized(std::string_view etag) {
  etag.remove_prefix(std::min(etag.find_first_not_of("W/"), etag.size()));
  etag.remove_prefix(std::min(etag.find_first_not_of('"'), etag.size()));
  return std::string(etag.substr(0, etag.find_last_not_of('"') + 1));
}

/// A request for the rest of a blob.
class Attempt {
 public:
  Attempt(const Hub& hub, const RemoteFile& file, BlobWriter& writer, Retries& retries)
      : hub_(hub), file_(file), writer_(writer), retries_(retries) {}

  Response send(HttpClient& client) {
    return client.send({.url = file_.url,
                        .from = writer_.position(),
                        .on_body = [this](const Response& response, std::span<const std::byte> bytes) {
                          if (!started_) start(response);
                          take(bytes);
                        }});
  }

 private:
  void start(const Response& response) {
    started_ = true;
    const std::optional<std::uint64_t> first = start_of(response);
    if (first == writer_.position()) return;
    hub_.listener.lost(writer_.position());
    writer_.restart();
    // A server that does not support ranges sends the whole file, which works too.
    if (first != 0U)
      throw HttpError(HttpError::Kind::broken, "the server sent a different part from the requested one");
  }

  void take(std::span<const std::byte> bytes) {
    if (!writer_.append(bytes)) {
      writer_.restart();
      fail(ErrorCode::io,
           "'{}': the server sent more than the {} bytes that it announced for {}; try again later",
           hub_.repo, file_.size, file_.name);
    }
    hub_.listener.arrived(bytes.size());
    retries_.arrived(bytes.size());
  }

  const Hub& hub_;
  const RemoteFile& file_;
  BlobWriter& writer_;
  Retries& retries_;
  bool started_ = false;
};

/// Fills the file, in several attempts if necessary.
void fill(HttpClient& client, const Hub& hub, const RemoteFile& file, BlobWriter& writer) {
  Retries retries(hub.settings, hub.stop);
  while (!writer.is_full()) {
    std::string reason;
    std::chrono::seconds retry_after{0};
    const std::uint64_t from = writer.position();
    try {
      const Response response = Attempt(hub, file, writer, retries).send(client);
      if (writer.is_full()) return;
      retry_after = response.retry_after;
      if (response.status == kBadRange && from > 0) {
        hub.listener.lost(from);
        writer.restart();
        reason = "the server has no such range";
      } else if (response.status == kOk || response.status == kPart) {
        reason = "the server ended its answer too early";
      } else if (is_passing(response.status)) {
        if (!retries.another(retry_after)) throw refusal(hub, file.name, response, retries.count());
        continue;
      } else {
        throw refusal(hub, file.name, response, "");
      }
    } catch (const HttpError& error) {
      if (!may_pass(error.kind())) throw;
      reason = error.what();
    }
    if (retries.another(retry_after)) continue;
    fail(ErrorCode::io,
         "'{}': downloading {} failed{}: {}; {} of {} are kept, and the next run resumes there", hub.repo,
         file.name, retries.count(), reason, text::human_bytes(writer.position()),
         text::human_bytes(file.size));
  }
}

}  // namespace

void Listener::expect(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  total_ += bytes;
}

void Listener::arrived(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  done_ += bytes;
  check_cancelled();
  if (on_progress_) on_progress_(done_, total_);
}

void Listener::lost(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  done_ -= std::min(done_, bytes);
}

void Listener::say(const std::string& notice) {
  const std::lock_guard lock(mutex_);
  if (on_notice_) on_notice_(notice);
}

RemoteFile look_up(HttpClient& client, const Hub& hub, const std::string& commit, const std::string& name) {
  RemoteFile file{
      .name = name,
      .url = fmt::format("{}/{}/resolve/{}/{}", hub.settings.endpoint, hub.repo, commit, quote(name, "/"))};
  Retries retries(hub.settings, hub.stop);
  constexpr std::chrono::seconds kLimit{60};
  const Response response = send_patiently(client, {.url = file.url, .head = true, .limit = kLimit}, retries);
  const bool moved = response.status >= 300 && response.status <= 399;
  if (response.status != kOk && !moved) throw refusal(hub, name, response, retries.count());

  // For a large file, the Hub passes on the values of its storage server. The size of the redirection itself
  // is not a file size.
  const std::string_view linked_etag = response.header("x-linked-etag");
  const std::string_view linked_size = response.header("x-linked-size");
  const bool own = !moved && linked_etag.empty();
  file.etag = normalized(linked_etag.empty() ? response.header("etag") : linked_etag);
  const std::optional<std::uint64_t> size =
      size_of(linked_size.empty() && own ? response.header("content-length") : linked_size);
  const auto complain = [&](const char* header, std::string_view value) {
    fail(ErrorCode::io,
         "'{}': the server does not answer like a Hub: {} of {} is '{}'; check HF_ENDPOINT and proxies",
         hub.repo, header, name, printable(value));
  };
  if (!is_safe_etag(file.etag)) complain("the etag", file.etag);
  if (!size) complain("the size", own ? response.header("content-length") : linked_size);
  file.size = *size;
  return file;
}

bool is_cached(const RepoCache& cache, const RemoteFile& file) {
  std::error_code error;
  return fs::file_size(cache.blob(file.etag), error) == file.size && !error;
}

void download(HttpClient& client, const Hub& hub, const RemoteFile& file) {
  const BlobLock lock(hub.cache, file.etag, hub.stop, [&] {
    hub.listener.say(fmt::format("waiting for another process to download {} of '{}'", file.name, hub.repo));
  });
  if (hub.stop) throw HttpError(HttpError::Kind::stopped, "stopped");
  if (!hub.settings.force && is_cached(hub.cache, file)) return hub.listener.arrived(file.size);

  BlobWriter writer(hub.cache.incomplete(file.etag), file.etag, file.size);
  if (hub.settings.force) writer.restart();
  hub.listener.arrived(writer.position());
  // Content that was received in one piece is the server's. Content from an older attempt may be corrupt.
  for (bool in_one_piece = writer.position() == 0;; in_one_piece = true) {
    fill(client, hub, file, writer);
    std::string actual;
    if (writer.finish(hub.cache.blob(file.etag), actual)) return;
    hub.listener.lost(file.size);
    writer.restart();
    if (in_one_piece) {
      fail(ErrorCode::io,
           "'{}': {} does not have the content that the Hub announces: expected hash {}, got {}; it was "
           "deleted; try again, and check the network and proxies on the way to {}",
           hub.repo, file.name, file.etag, actual, hub.settings.endpoint);
    }
  }
}

ExportError refusal(const Hub& hub, const std::string& what, const Response& response,
                    const std::string& attempts) {
  const std::string_view code = response.header("x-error-code");
  std::string words(response.header("x-error-message"));
  words = fmt::format("{} answers {}{}{}{}", hub.settings.endpoint, response.status,
                      words.empty() ? "" : ": ", printable(words), attempts);
  const std::string subject =
      what.empty() ? fmt::format("'{}'", hub.repo) : fmt::format("'{}': {}", hub.repo, what);
  const std::string advice = [&]() -> std::string {
    if (code == "RevisionNotFound")
      return fmt::format("there is no revision '{}'; give another --revision", hub.revision);
    if (code == "EntryNotFound") return fmt::format("revision '{}' has no such file", hub.revision);
    switch (response.status) {
      case 401:
      case 403:
        return hub.settings.token.empty()
                   ? "the repository is private or gated, or does not exist; give --token or set HF_TOKEN"
                   : "the token gives no access; check whether the repository is gated, and its name";
      case 404:
        return "there is no such repository, or it is private; check the name, or give --token";
      case 429:
        return "it limits the rate of requests; try again later, or give --token";
      default:
        return response.status >= 500 ? "the server has a problem; try again later"
                                      : "check HF_ENDPOINT and proxies";
    }
  }();
  return ExportError(ErrorCode::io, fmt::format("{}: {}; {}", subject, words, advice));
}

}  // namespace onnxport::hub
