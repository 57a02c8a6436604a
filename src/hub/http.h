/// Requests over HTTP, with libcurl. The library is opened at the first request, so that the program neither
/// needs nor loads it otherwise.
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

/// A request that got no answer, or not all of it.
class HttpError : public ExportError {
 public:
  enum class Kind {
    unreachable,  ///< there is no such host, or nobody listens, or there is no libcurl
    stalled,      ///< nothing came for too long
    broken,       ///< the connection broke: another attempt may do better
    refused,      ///< no attempt can do better: certificates, proxies, a redirection that is not followed
    stopped,      ///< somebody else has failed already
  };
  HttpError(Kind kind, const std::string& message) : ExportError(ErrorCode::io, message), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

struct Response {
  int status = 0;
  /// By name in lower case; only those that the hub's client looks at.
  std::map<std::string, std::string, std::less<>> headers = {};
  std::chrono::seconds retry_after{0};  ///< 0: the server does not say
  std::string body = {};                ///< of an answer of 200 to a request without `on_body`

  /// Empty when there is none.
  std::string_view header(std::string_view name) const;
};

struct Request {
  std::string url;
  bool head = false;
  std::uint64_t from = 0;  ///< first byte of the file that is asked for
  /// Bound of the whole request; 0: none but that of a stall.
  std::chrono::seconds limit{0};
  /// Gets the body of an answer of 200 or 206, in pieces. What it throws comes out of send().
  std::function<void(const Response&, std::span<const std::byte>)> on_body = {};
};

/// Connections of one thread.
class HttpClient {
 public:
  /// `settings` and `stop` live longer. When `stop` becomes true, a running request fails soon.
  HttpClient(const Settings& settings, const std::atomic<bool>& stop);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Follows redirections, a HEAD only on the host of the endpoint: what another host says of a file is not
  /// what the hub says. The token goes to that host alone, and nothing goes from https to http. Any status is
  /// an answer. Throws HttpError, and what `on_body` throws; a body for us to keep has a bound.
  Response send(const Request& request);

 private:
  struct Transfer;
  Response perform(const Request& request, const std::string& url, std::string& next);
  const Settings& settings_;
  const std::atomic<bool>& stop_;
  void* handle_ = nullptr;
};

/// Do both addresses have the same scheme, host and port?
bool same_origin(std::string_view a, std::string_view b);

}  // namespace onnxport::hub
