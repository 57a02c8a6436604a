/// Counts failed attempts, and pauses between them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "hub/http.h"

namespace onnxport::hub {

/// Counts the attempts at one task.
class Retries {
 public:
  Retries(const Settings& settings, const std::atomic<bool>& stop) : settings_(settings), stop_(stop) {}

  /// Pauses before another attempt, longer each time, or as long as the server asks for. False after too many
  /// attempts, or if the server asks for too long a pause.
  bool another(std::chrono::seconds retry_after = std::chrono::seconds(0));
  /// Reports received bytes. After enough of them, the count restarts.
  void arrived(std::uint64_t bytes);
  /// "after 6 attempts"
  std::string count() const;

 private:
  const Settings& settings_;
  const std::atomic<bool>& stop_;
  int failed_ = 0;
  std::uint64_t arrived_ = 0;
};

/// Whether the status may be temporary.
bool is_passing(int status);

/// Whether another attempt may succeed. With `once`, an unreachable host is not tried again.
bool may_pass(HttpError::Kind kind, bool once = false);

/// Sends a request without `on_body`, and retries where that may help. The result is a final answer or an
/// error.
Response send_patiently(HttpClient& client, const Request& request, Retries& retries, bool once = false);

}  // namespace onnxport::hub
