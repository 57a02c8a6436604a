#include "batch/pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include "support/text.h"

namespace onnxport::batch {

namespace fs = std::filesystem;

void Pool::run(ManyReport& report) {
  constexpr std::chrono::milliseconds kPause(20);
  while (!waiting_.empty() || !running_.empty()) {
    const int interrupts = options_.interrupts ? options_.interrupts() : 0;
    if (interrupts > 0) return stop_all(report);
    collect();
    keep_memory();
    if (!keep_disk()) {
      report.disk_full = true;
      return;
    }
    start();
    if (!running_.empty()) std::this_thread::sleep_for(kPause);
  }
}

void Pool::notice(const std::string& text) const {
  if (options_.on_notice) options_.on_notice(text);
}

void Pool::collect() {
  for (auto worker = running_.begin(); worker != running_.end();) {
    std::optional<ManyResult> result = worker->poll();
    if (!result) {
      ++worker;
      continue;
    }
    Job job = worker->job();
    const bool stopped = worker->stopped();
    worker = running_.erase(worker);
    finish(std::move(job), *result, stopped);
  }
}

void Pool::finish(Job job, const ManyResult& result, bool stopped) {
  largest_ = std::max(largest_, result.peak_memory);
  job.alone = true;
  job.needed = std::max(job.needed, result.peak_memory);
  if (result.status == "open") {  // to leave memory or disk to others
    --job.attempts;
    waiting_.push_back(std::move(job));
    return;
  }
  const bool killed = !stopped && (result.signal == SIGKILL || result.signal == SIGTERM);
  if (killed && job.attempts < kMostAttempts) {
    notice(fmt::format("{} was killed: it is exported again at the end, alone", job.entry.model));
    waiting_.push_back(std::move(job));
    return;
  }
  record_(job.entry, result);
}

std::uint64_t Pool::memory_in_use() const {
  std::uint64_t bytes = 0;
  for (const Worker& worker : running_) bytes += worker.process().memory();
  return bytes;
}

/// Stops the youngest export, or fails the only one, if all together need more than permitted.
void Pool::keep_memory() {
  if (options_.max_memory == 0 || running_.empty() || memory_in_use() <= options_.max_memory) return;
  if (std::ranges::any_of(running_, &Worker::stopped)) return;  // one is ending
  Worker& youngest = running_.back();
  if (running_.size() > 1) {
    notice(
        fmt::format("{} waits until nothing else runs: --max-memory is reached", youngest.job().entry.model));
    youngest.stop("");
  } else {
    youngest.stop(
        fmt::format("needs more than {} of memory (--max-memory)", text::human_bytes(options_.max_memory)));
  }
}

bool Pool::disk_is_full() const {
  if (options_.min_free_disk == 0) return false;
  std::error_code error;
  const fs::space_info space = fs::space(options_.output, error);
  return !error && space.available < options_.min_free_disk;
}

/// Stops exports while less than the minimum is free. False if that holds although none runs.
bool Pool::keep_disk() {
  if (!disk_is_full()) return true;
  if (running_.empty()) return waiting_.empty();
  if (std::ranges::none_of(running_, &Worker::stopped)) running_.back().stop("");
  return true;
}

void Pool::start() {
  while (!waiting_.empty() && running_.size() < options_.jobs) {
    const bool beside_one = std::ranges::any_of(running_, [](const Worker& one) { return one.job().alone; });
    if (beside_one || disk_is_full()) return;
    const auto next = std::ranges::find_if(waiting_, [&](const Job& job) { return fits(job); });
    if (next == waiting_.end()) return;
    Job job = std::move(*next);
    waiting_.erase(next);
    running_.emplace_back(std::move(job), options_);
  }
}

/// Whether an export may run beside the present ones.
bool Pool::fits(const Job& job) const {
  if (running_.empty()) return true;
  if (job.alone) return false;
  if (options_.max_memory == 0) return true;
  std::uint64_t bytes = job.needed > 0 ? job.needed : largest_;
  for (const Worker& worker : running_) bytes += std::max(worker.process().memory(), worker.job().needed);
  return bytes <= options_.max_memory;
}

/// Ends running exports: by asking, and after a while, or if the user insists, by force.
void Pool::stop_all(ManyReport& report) {
  constexpr std::chrono::milliseconds kPause(20);
  constexpr std::chrono::seconds kPatience(5);
  report.interrupted = true;
  const auto start = std::chrono::steady_clock::now();
  for (const Worker& worker : running_) worker.process().send(SIGTERM);
  while (!running_.empty()) {
    if (options_.interrupts() > 1 || std::chrono::steady_clock::now() - start > kPatience) {
      for (const Worker& worker : running_) worker.process().send(SIGKILL);
    }
    std::erase_if(running_, [&](Worker& worker) {
      const std::optional<ManyResult> result = worker.poll();
      if (!result) return false;
      // An export that had ended by itself counts.
      if (result->signal == 0 && result->status == "ok") record_(worker.job().entry, *result);
      return true;
    });
    if (!running_.empty()) std::this_thread::sleep_for(kPause);
  }
}

}  // namespace onnxport::batch
