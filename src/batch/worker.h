/// One export of a list in its process.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "batch/list.h"
#include "batch/process.h"
#include "onnxport/export_many.h"

namespace onnxport::batch {

/// How often an export is started, if it is killed from outside.
inline constexpr int kMostAttempts = 2;

/// An export that waits for its turn.
struct Job {
  Entry entry;
  std::string folder;
  std::uint64_t needed = 0;  ///< bytes of memory, as far as that is known
  int attempts = 0;
  bool alone = false;  ///< nothing else may run beside it
};

/// An export that runs.
class Worker {
 public:
  /// Throws ExportError(io) if the process cannot be started.
  Worker(Job job, const ManyOptions& options);

  const Job& job() const { return job_; }
  const Process& process() const { return process_; }
  /// Kills it. `why`: becomes the error of its result; empty: it is to be started again.
  void stop(std::string why);
  bool stopped() const { return stopped_; }
  /// The result, if it has ended; of a stopped one without a reason, the status is "open".
  std::optional<ManyResult> poll();

 private:
  using Clock = std::chrono::steady_clock;
  Job job_;
  std::filesystem::path output_, report_, log_;
  Process process_;
  Clock::time_point start_ = Clock::now();
  bool stopped_ = false;
  std::string why_;
};

/// Bytes of the weights of a local model, which validation loads; 0 for others.
std::uint64_t weights_of(const std::string& model);

/// Removes the unfinished files of a killed export, which begin with a dot and end with .tmp.
void remove_unfinished(const std::filesystem::path& folder);

}  // namespace onnxport::batch
