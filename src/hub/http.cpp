#include "hub/http.h"

#include <fmt/format.h>
#include <signal.h>  // NOLINT: masks of signals are POSIX

#include <algorithm>
#include <array>
#include <cctype>
#include <exception>

#include "hub/curl.h"
#include "support/printable.h"
#include "support/text.h"

namespace onnxport::hub {
namespace {

using Kind = HttpError::Kind;

/// "https://host:port" in lower case. Odd parts, such as a user before the host, stay in it, so it equals no
/// other address's origin.
std::string origin(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == url.npos) return "";
  return text::lower(url.substr(0, url.find_first_of("/?#", scheme + 3)));
}

}  // namespace

bool same_origin(std::string_view a, std::string_view b) {
  const std::string one = origin(a);
  return !one.empty() && one == origin(b);
}

std::string_view Response::header(std::string_view name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : found->second;
}

#if __has_include(<curl/curl.h>)

namespace {

/// The headers of a response to keep, so that a server cannot fill the memory with others.
constexpr std::array<std::string_view, 8> kHeaders = {"etag",          "content-length", "content-range",
                                                      "x-linked-etag", "x-linked-size",  "x-repo-commit",
                                                      "x-error-code",  "x-error-message"};
constexpr std::size_t kLongestHeader = 4096;
constexpr std::size_t kLargestBody = 16'000'000;  // of what is kept in memory

Kind kind_of(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
      return Kind::unreachable;
    case CURLE_OPERATION_TIMEDOUT:
      return Kind::stalled;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return Kind::broken;
    default:
      return Kind::refused;
  }
}

/// When libraries below libcurl write to a closed connection, a signal would end the program. This object
/// blocks it for the thread during its lifetime.
class NoPipeSignal {
 public:
  NoPipeSignal() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoPipeSignal() {
    const timespec now{};
    while (!was_pending_ && sigtimedwait(&pipe_, nullptr, &now) > 0) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoPipeSignal(const NoPipeSignal&) = delete;
  NoPipeSignal& operator=(const NoPipeSignal&) = delete;

 private:
  sigset_t pipe_{}, before_{};
  bool was_pending_ = false;
};

}  // namespace

/// One request and its answer, for libcurl's callbacks. No exception may pass through libcurl.
struct HttpClient::Transfer {
  const Request& request;
  const std::atomic<bool>& stop;
  Response response = {};
  std::size_t refused_bytes = 0;  ///< of a body that nobody wants
  std::exception_ptr thrown = {};

  static std::size_t on_header(const char* data, std::size_t size, std::size_t count, void* self) {
    static_cast<Transfer*>(self)->take_header({data, size * count});
    return size * count;
  }

  static std::size_t on_body(const char* data, std::size_t size, std::size_t count, void* self) {
    return static_cast<Transfer*>(self)->take_body({data, size * count}) ? size * count : 0;
  }

  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->stop ? 1 : 0;
  }

  void take_header(std::string_view line) {
    if (line.starts_with("HTTP/")) {  // a status line: the headers of one answer follow
      response = {};
      const std::size_t blank = line.find(' ');
      for (std::size_t i = blank + 1; blank != line.npos && i < line.size() && i < blank + 4; ++i) {
        if (line[i] >= '0' && line[i] <= '9') response.status = response.status * 10 + (line[i] - '0');
      }
      return;
    }
    const std::size_t colon = line.find(':');
    if (colon == line.npos) return;
    const std::string name = text::lower(line.substr(0, colon));
    if (std::find(kHeaders.begin(), kHeaders.end(), name) == kHeaders.end()) return;
    response.headers[name] = text::trimmed(line.substr(colon + 1).substr(0, kLongestHeader));
  }

  /// False ends the transfer.
  bool take_body(std::string_view piece) {
    constexpr std::size_t kPatience = 65536;  // what is read of a refusal, lest a connection is lost for it
    if (response.status != 200 && response.status != 206) {
      refused_bytes += piece.size();
      return refused_bytes <= kPatience;
    }
    try {
      if (request.on_body) {
        request.on_body(response, std::as_bytes(std::span(piece)));
      } else {
        if (piece.size() > kLargestBody - response.body.size()) {
          throw HttpError(Kind::refused, fmt::format("the answer has more than {} bytes", kLargestBody));
        }
        response.body += piece;
      }
      return true;
    } catch (...) {
      thrown = std::current_exception();
      return false;
    }
  }
};

HttpClient::HttpClient(const Settings& settings, const std::atomic<bool>& stop)
    : settings_(settings), stop_(stop) {
  handle_ = Curl::get().easy_init();
  if (handle_ == nullptr) throw HttpError(Kind::refused, "libcurl failed to start");
}

HttpClient::~HttpClient() { Curl::get().easy_cleanup(handle_); }

Response HttpClient::send(const Request& request) {
  constexpr int kMostHops = 10;
  std::string url = request.url;
  Response linked;  // what the hub said of the file on the way
  for (int hop = 0; hop <= kMostHops; ++hop) {
    std::string next;
    Response response = perform(request, url, next);
    for (const char* name : {"x-linked-etag", "x-linked-size"}) {
      if (const std::string_view value = linked.header(name); !value.empty()) response.headers[name] = value;
    }
    const bool moved = response.status >= 300 && response.status <= 399;
    if (!moved || (request.head && !same_origin(next, settings_.endpoint))) return response;
    const bool known =
        next.starts_with("https://") || (next.starts_with("http://") && !url.starts_with("https://"));
    if (!known) {
      throw HttpError(
          Kind::refused,
          fmt::format("the redirection from '{}' to '{}' is not followed: expected an https address",
                      printable(request.url), printable(next)));
    }
    url = std::move(next);
    linked = std::move(response);
  }
  throw HttpError(Kind::refused,
                  fmt::format("'{}' is redirected more than {} times", printable(request.url), kMostHops));
}

Response HttpClient::perform(const Request& request, const std::string& url, std::string& next) {
  const Curl& curl = Curl::get();
  CURL* handle = handle_;
  Transfer transfer{.request = request, .stop = stop_};
  std::array<char, CURL_ERROR_SIZE> words{};

  struct FreeList {
    void operator()(curl_slist* list) const { Curl::get().slist_free_all(list); }
  };
  std::unique_ptr<curl_slist, FreeList> headers;
  const auto add_header = [&](const std::string& line) {
    curl_slist* shorter = headers.release();
    curl_slist* longer = curl.slist_append(shorter, line.c_str());
    headers.reset(longer != nullptr ? longer : shorter);
    if (longer == nullptr) throw std::bad_alloc();
  };
  // Compression is off, because the size of a compressed answer is not that of the file.
  add_header("Accept-Encoding: identity");
  if (!settings_.token.empty() && same_origin(url, settings_.endpoint))
    add_header("Authorization: Bearer " + settings_.token);

  const auto set = [&](CURLoption option, auto value) {
    const CURLcode code = curl.easy_setopt(handle, option, value);
    if (code != CURLE_OK)
      throw HttpError(Kind::refused, fmt::format("libcurl: {}", curl.easy_strerror(code)));
  };
  constexpr long kBuffer = 512L * 1024;
  constexpr long kSlowest = 100;  // bytes per second; below it a connection counts as stalled
  curl.easy_reset(handle);        // keeps the connections
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_NOBODY, request.head ? 1L : 0L);
  set(CURLOPT_USERAGENT, "onnxport/" ONNXPORT_VERSION);
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_ERRORBUFFER, words.data());
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_BUFFERSIZE, kBuffer);
  set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(settings_.stall.count()));
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(settings_.stall.count()));
  set(CURLOPT_LOW_SPEED_LIMIT, kSlowest);
  set(CURLOPT_TIMEOUT, static_cast<long>(request.limit.count()));
  if (!settings_.ca_bundle.empty()) set(CURLOPT_CAINFO, settings_.ca_bundle.c_str());
  const std::string range = fmt::format("{}-", request.from);
  if (request.from > 0) set(CURLOPT_RANGE, range.c_str());

  const CURLcode code = [&] {
    const NoPipeSignal guard;
    return curl.easy_perform(handle);
  }();
  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  if (stop_) throw HttpError(Kind::stopped, "stopped");
  const bool cut = code == CURLE_WRITE_ERROR && transfer.response.status >= 300;  // enough of a refusal
  if (code != CURLE_OK && !cut) {
    std::string reason = words[0] != '\0' ? std::string(words.data()) : curl.easy_strerror(code);
    reason[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(reason[0])));
    throw HttpError(kind_of(code), fmt::format("{}: {}", printable(origin(url)), printable(reason)));
  }
  Response response = std::move(transfer.response);
  curl_off_t wait = 0;
  if (curl.easy_getinfo(handle, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
    response.retry_after = std::chrono::seconds(wait);
  const char* location = nullptr;
  if (curl.easy_getinfo(handle, CURLINFO_REDIRECT_URL, &location) == CURLE_OK && location != nullptr)
    next = location;
  return response;
}

#else

namespace {
[[noreturn]] void fail_without_curl() {
  throw HttpError(Kind::unreachable,
                  "this onnxport was built without libcurl's headers and cannot download; download the model "
                  "with another tool first");
}
}  // namespace

HttpClient::HttpClient(const Settings& settings, const std::atomic<bool>& stop)
    : settings_(settings), stop_(stop) {
  fail_without_curl();
}
HttpClient::~HttpClient() = default;
Response HttpClient::send(const Request&) { fail_without_curl(); }

#endif

}  // namespace onnxport::hub
