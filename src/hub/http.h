/// HTTP requests with libcurl. The library is opened at the first request, so the program does not need it
/// for anything else.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "hub/settings.h"
#include "onnxport/error.h"

namespace onnxport::hub {

/// A request without an answer, or with an incomplete one.
class HttpError : public ExportError {
 public:
  enum class Kind {
    unreachable,  ///< unknown host, refused connection, or no libcurl
    stalled,      ///< no data for too long
    broken,       ///< the connection broke; another attempt may succeed
    refused,  ///< another attempt cannot succeed: certificates, proxies, a redirection that is not followed
    stopped,  ///< another thread has already failed
  };
  HttpError(Kind kind, const std::string& message) : ExportError(ErrorCode::io, message), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

struct Response {
  int status = 0;
  /// By name in lower case; only the headers that the client uses.
  std::map<std::string, std::string, std::less<>> headers = {};
  std::chrono::seconds retry_after{0};  ///< 0: the server does not say
  std::string body = {};                ///< of an answer of 200 to a request without `on_body`

  /// Empty if there is none.
  std::string_view header(std::string_view name) const;
};

struct Request {
  std::string url;
  bool head = false;
  std::uint64_t from = 0;  ///< first byte of the file that is asked for
  /// Time limit of the whole request; 0: only the limit for stalls.
  std::chrono::seconds limit{0};
  /// Receives the body of an answer with status 200 or 206, in pieces. send() rethrows its exceptions.
  std::function<void(const Response&, std::span<const std::byte>)> on_body = {};
};

/// Connections of one thread.
class HttpClient {
 public:
  /// `settings` and `stop` must outlive it. When `stop` becomes true, a running request soon fails.
  HttpClient(const Settings& settings, const std::atomic<bool>& stop);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Follows redirections, but a HEAD request only on the host of the endpoint, because another host's
  /// information about a file is not the Hub's. The token goes only to that host, and redirections from https
  /// to http are refused. Any status counts as an answer. Throws HttpError and the exceptions of `on_body`.
  /// The size of a body kept in memory is limited.
  Response send(const Request& request);

 private:
  struct Transfer;
  Response perform(const Request& request, const std::string& url, std::string& next);
  const Settings& settings_;
  const std::atomic<bool>& stop_;
  void* handle_ = nullptr;
};

/// Whether both addresses have the same scheme, host and port.
bool same_origin(std::string_view a, std::string_view b);

}  // namespace onnxport::hub
