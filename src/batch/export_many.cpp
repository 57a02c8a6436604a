#include "onnxport/export_many.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <thread>
#include <utility>

#include "batch/list.h"
#include "batch/results.h"
#include "batch/summary.h"
#include "batch/worker.h"
#include "support/atomic_file.h"
#include "support/fail.h"
#include "support/hash.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using batch::Job;
using batch::Worker;

/// The folder of each export: that of an earlier run, or one that no other export has.
class Folders {
 public:
  explicit Folders(const std::map<std::string, ManyResult>& earlier) {
    for (const auto& [key, result] : earlier) add(key, result.folder);
  }

  const std::string& of(const batch::Entry& entry) {
    if (const auto found = folders_.find(entry.key); found != folders_.end()) return found->second;
    constexpr std::size_t kDigits = 8;
    std::string name = batch::folder_name(entry.model);
    if (taken_.contains(name))
      name += "-" + hash128(std::as_bytes(std::span(entry.key.data(), entry.key.size()))).substr(0, kDigits);
    return add(entry.key, name);
  }

 private:
  const std::string& add(const std::string& key, const std::string& name) {
    taken_.insert(name);
    return folders_[key] = name;
  }

  std::map<std::string, std::string> folders_;
  std::set<std::string> taken_ = {"logs", "results.jsonl", "summary.md"};
};

/// Runs the jobs within their budget.
class Pool {
 public:
  Pool(const ManyOptions& options, std::deque<Job> jobs, batch::Results& results, std::size_t done)
      : options_(options),
        waiting_(std::move(jobs)),
        results_(results),
        done_(done),
        total_(done + waiting_.size()) {}

  void run(ManyReport& report) {
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

 private:
  void notice(const std::string& text) const {
    if (options_.on_notice) options_.on_notice(text);
  }

  void collect() {
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

  void finish(Job job, const ManyResult& result, bool stopped) {
    constexpr int kMostAttempts = 2;
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
    results_.add(job.entry.key, result);
    if (options_.on_result) options_.on_result(result, ++done_, total_);
  }

  std::uint64_t memory_in_use() const {
    std::uint64_t bytes = 0;
    for (const Worker& worker : running_) bytes += worker.process().memory();
    return bytes;
  }

  /// Stops the youngest export, or fails the only one, if all together need more than permitted.
  void keep_memory() {
    if (options_.max_memory == 0 || running_.empty() || memory_in_use() <= options_.max_memory) return;
    if (std::ranges::any_of(running_, &Worker::stopped)) return;  // one is ending
    Worker& youngest = running_.back();
    if (running_.size() > 1) {
      notice(fmt::format("{} waits until nothing else runs: --max-memory is reached",
                         youngest.job().entry.model));
      youngest.stop("");
    } else {
      youngest.stop(
          fmt::format("needs more than {} of memory (--max-memory)", text::human_bytes(options_.max_memory)));
    }
  }

  bool disk_is_full() const {
    if (options_.min_free_disk == 0) return false;
    std::error_code error;
    const fs::space_info space = fs::space(options_.output, error);
    return !error && space.available < options_.min_free_disk;
  }

  /// Stops exports while less than the minimum is free. False if that holds although none runs.
  bool keep_disk() {
    if (!disk_is_full()) return true;
    if (running_.empty()) return waiting_.empty();
    if (std::ranges::none_of(running_, &Worker::stopped)) running_.back().stop("");
    return true;
  }

  void start() {
    while (!waiting_.empty() && running_.size() < options_.jobs) {
      const bool beside_one =
          std::ranges::any_of(running_, [](const Worker& one) { return one.job().alone; });
      if (beside_one || disk_is_full()) return;
      const auto next = std::ranges::find_if(waiting_, [&](const Job& job) { return fits(job); });
      if (next == waiting_.end()) return;
      Job job = std::move(*next);
      waiting_.erase(next);
      running_.emplace_back(std::move(job), options_);
    }
  }

  /// Whether an export may run beside the present ones.
  bool fits(const Job& job) const {
    if (running_.empty()) return true;
    if (job.alone) return false;
    if (options_.max_memory == 0) return true;
    std::uint64_t bytes = job.needed > 0 ? job.needed : largest_;
    for (const Worker& worker : running_) bytes += std::max(worker.process().memory(), worker.job().needed);
    return bytes <= options_.max_memory;
  }

  /// Ends running exports: by asking, and after a while, or if the user insists, by force.
  void stop_all(ManyReport& report) {
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
        // What had ended by itself counts.
        if (result->signal == 0 && result->status == "ok") {
          results_.add(worker.job().entry.key, *result);
          if (options_.on_result) options_.on_result(*result, ++done_, total_);
        }
        return true;
      });
      if (!running_.empty()) std::this_thread::sleep_for(kPause);
    }
  }

  const ManyOptions& options_;
  std::deque<Job> waiting_;
  std::deque<Worker> running_;  // in the order of their start
  batch::Results& results_;
  std::size_t done_, total_;
  std::uint64_t largest_ = 0;  // memory of an export so far
};

void write_summary(const fs::path& file, const ManyReport& report) {
  AtomicFile page(file);
  page.append(batch::summary_page(report));
  page.flush();
  page.commit();
}

}  // namespace

std::size_t ManyReport::count(const std::string& status) const {
  return static_cast<std::size_t>(std::ranges::count(results, status, &ManyResult::status));
}

ManyReport export_many(const ManyOptions& options) {
  const std::vector<batch::Entry> entries =
      batch::parse_list(batch::read_list(options.list), options.flags, options.on_notice);
  std::error_code error;
  fs::create_directories(options.output / "logs", error);
  if (error) fail(ErrorCode::io, "cannot create {}: {}", (options.output / "logs").string(), error.message());
  const batch::FolderLock lock(options.output);
  // What was exported counts as long as it is there.
  const auto drop = [&](const ManyResult& result) {
    return result.status == "ok" ? !fs::exists(options.output / result.folder) : options.retry;
  };
  batch::Results results(options.output / "results.jsonl", drop, options.on_notice);
  const std::map<std::string, ManyResult> earlier = results.found();
  Folders folders(earlier);
  std::deque<Job> jobs;
  std::vector<std::string> names;
  for (const batch::Entry& entry : entries) {
    names.push_back(folders.of(entry));
    if (!earlier.contains(entry.key)) jobs.push_back({entry, names.back(), batch::weights_of(entry.model)});
  }
  ManyReport report;
  const std::size_t done = entries.size() - jobs.size();
  Pool(options, std::move(jobs), results, done).run(report);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto found = results.found().find(entries[i].key);
    if (found == results.found().end()) {
      report.results.push_back({entries[i].model, entries[i].flags, names[i], "open"});
      continue;
    }
    report.results.push_back(found->second);
    report.results.back().skipped = earlier.contains(entries[i].key);
  }
  write_summary(options.output / "summary.md", report);
  return report;
}

}  // namespace onnxport
