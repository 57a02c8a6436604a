#include "support/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "support/text.h"

namespace onnxport {
namespace {
constexpr const char* kClearLine = "\r\x1b[K";
}

Progress::Progress(std::string label, Unit unit, bool enabled)
    : label_(std::move(label)), unit_(unit), enabled_(enabled && ::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (drawn_) std::fputs(kClearLine, stderr);
}

void Progress::update(std::uint64_t done, std::uint64_t total) {
  if (!enabled_) return;
  const Clock::time_point now = Clock::now();
  if (now.time_since_epoch().count() < next_) return;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return;  // another thread is drawing
  next_ = (now + std::chrono::milliseconds(100)).time_since_epoch().count();
  const double seconds = std::chrono::duration<double>(now - start_).count();
  fmt::print(stderr, "{}{}", kClearLine, line(label_, unit_, done, total, seconds));
  std::fflush(stderr);
  drawn_ = true;
}

std::string Progress::line(const std::string& label, Unit unit, std::uint64_t done, std::uint64_t total,
                           double seconds) {
  const double part = total == 0 ? 1 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const int percent = static_cast<int>(100 * part);
  if (unit == Unit::count) return fmt::format("{} {:3}%  {} of {}", label, percent, done, total);
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  return fmt::format("{} {:3}%  {} of {}  {}/s", label, percent, text::human_bytes(done),
                     text::human_bytes(total), text::human_bytes(static_cast<std::uint64_t>(rate)));
}

}  // namespace onnxport
