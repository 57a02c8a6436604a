/// A progress line on the terminal.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace onnxport {

/// One line on stderr that is updated in place, at most ten times a second, and removed at the end. Prints
/// nothing if stderr is not a terminal. Thread-safe.
class Progress {
 public:
  enum class Unit { count, bytes };

  /// `label`: "writing weights". `enabled`: false for --quiet.
  explicit Progress(std::string label, Unit unit = Unit::count, bool enabled = true);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(std::uint64_t done, std::uint64_t total);

  /// "writing weights  42%  1.2 GB of 2.8 GB  310.0 MB/s": the text of the line.
  static std::string line(const std::string& label, Unit unit, std::uint64_t done, std::uint64_t total,
                          double seconds);

 private:
  using Clock = std::chrono::steady_clock;
  std::string label_;
  Unit unit_;
  bool enabled_;
  Clock::time_point start_ = Clock::now();
  std::atomic<Clock::rep> next_ = 0;  ///< when the line may be drawn again
  std::mutex mutex_;
  bool drawn_ = false;
};

}  // namespace onnxport
