/// Exports of a list on this machine.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>

#include "batch/worker.h"
#include "onnxport/export_many.h"

namespace onnxport::batch {

/// Takes the result of an export.
using Record = std::function<void(const Entry&, const ManyResult&)>;

/// Runs jobs in processes of their own, within a budget of memory and disk.
class Pool {
 public:
  /// `options` must outlive the pool.
  Pool(const ManyOptions& options, std::deque<Job> jobs, Record record)
      : options_(options), waiting_(std::move(jobs)), record_(std::move(record)) {}

  /// Returns when all have ended, or sets `interrupted` or `disk_full`.
  void run(ManyReport& report);

 private:
  void notice(const std::string& text) const;
  void collect();
  void finish(Job job, const ManyResult& result, bool stopped);
  std::uint64_t memory_in_use() const;
  void keep_memory();
  bool disk_is_full() const;
  bool keep_disk();
  void start();
  bool fits(const Job& job) const;
  void stop_all(ManyReport& report);

  const ManyOptions& options_;
  std::deque<Job> waiting_;
  std::deque<Worker> running_;  // in the order of their start
  Record record_;
  std::uint64_t largest_ = 0;  // memory of an export so far
};

}  // namespace onnxport::batch
