/// Attempts that have failed, and the pauses between them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "hub/http.h"

namespace onnxport::hub {

/// Counts the attempts at one thing.
class Retries {
 public:
  Retries(const Settings& settings, const std::atomic<bool>& stop) : settings_(settings), stop_(stop) {}

  /// Pauses before another attempt, longer each time, or as long as the server asks for. False when there
  /// have been enough attempts, or when the server asks for too much.
  bool another(std::chrono::seconds retry_after = std::chrono::seconds(0));
  /// Bytes have arrived: after enough of them the count starts again.
  void arrived(std::uint64_t bytes);
  /// "after 6 attempts"
  std::string count() const;

 private:
  const Settings& settings_;
  const std::atomic<bool>& stop_;
  int failed_ = 0;
  std::uint64_t arrived_ = 0;
};

/// Is it a status that may be another one later?
bool is_passing(int status);

/// May another attempt go better? With `once`, a host that cannot be reached is not tried again.
bool may_pass(HttpError::Kind kind, bool once = false);

/// Sends a request without `on_body`, again where that may help. What is left: an answer that stays as it is,
/// or an error.
Response send_patiently(HttpClient& client, const Request& request, Retries& retries, bool once = false);

}  // namespace onnxport::hub
