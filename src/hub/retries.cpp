#include "hub/retries.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace onnxport::hub {
namespace {

constexpr int kMostAttempts = 6;
constexpr std::uint64_t kProgress = 1'000'000;     // bytes that are worth another start
constexpr std::chrono::seconds kLongestAsked{60};  // that a server may ask for

}  // namespace

bool Retries::another(std::chrono::seconds retry_after) {
  if (++failed_ >= kMostAttempts || retry_after > kLongestAsked || stop_) return false;
  const auto own = std::min(settings_.longest, settings_.pause * (1 << (failed_ - 1)));
  const auto end = std::chrono::steady_clock::now() + std::max<std::chrono::milliseconds>(own, retry_after);
  constexpr std::chrono::milliseconds kStep{20};
  while (!stop_) {
    const auto left = end - std::chrono::steady_clock::now();
    if (left <= left.zero()) return true;
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(left, kStep));
  }
  return false;
}

void Retries::arrived(std::uint64_t bytes) {
  arrived_ += bytes;
  if (arrived_ < kProgress) return;
  arrived_ = 0;
  failed_ = 0;
}

std::string Retries::count() const { return failed_ < 2 ? "" : fmt::format(" after {} attempts", failed_); }

bool may_pass(HttpError::Kind kind, bool once) {
  using Kind = HttpError::Kind;
  return kind == Kind::broken || (!once && (kind == Kind::unreachable || kind == Kind::stalled));
}

bool is_passing(int status) { return status == 429 || status == 408 || status >= 500; }

Response send_patiently(HttpClient& client, const Request& request, Retries& retries, bool once) {
  while (true) {
    try {
      Response response = client.send(request);
      if (!is_passing(response.status) || !retries.another(response.retry_after)) return response;
    } catch (const HttpError& error) {
      if (!may_pass(error.kind(), once) || !retries.another()) throw;
    }
  }
}

}  // namespace onnxport::hub
