/// Exports the models of a list, each in a process of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "onnxport/export_macro.h"

namespace onnxport {

/// The result of one line of the list.
struct ManyResult {
  std::string model;
  std::vector<std::string> flags;  ///< of the line, behind those of all lines
  std::string folder;              ///< below the output folder
  std::string status;              ///< "ok", "failed", or "open": not finished, nothing is recorded
  int exit_status = -1;            ///< of the export; -1 if a signal ended it
  int signal = 0;                  ///< that ended it
  std::string error;
  double seconds = 0;
  std::uint64_t peak_memory = 0;  ///< resident, in bytes
  int attempts = 0;               ///< an export that was killed from outside is started once more
  std::string report;             ///< JSON of `export onnx --json`; empty if there is none
  bool skipped = false;           ///< finished in an earlier run
};

/// An export that has ended elsewhere.
struct ManyEnd {
  std::size_t id = 0;  ///< as it was started
  std::string result;  ///< of run_many_task(); empty: there is none
  std::string error;   ///< why not
};

/// Runs exports elsewhere, such as on the machines of a cluster, which all see the folder of the output under
/// the same path.
struct ManyEngine {
  /// Starts a task: a text that run_many_task() takes there. Does not wait.
  std::function<void(std::size_t id, const std::string& task)> start = {};
  /// The tasks that have ended since the last call. Waits for a moment if none has.
  std::function<std::vector<ManyEnd>()> poll = {};
  /// Ends all tasks.
  std::function<void()> stop = {};
  std::size_t jobs = 1;  ///< tasks at a time, unless the user asks for another number
  explicit operator bool() const { return start != nullptr; }
};

struct ManyOptions {
  std::filesystem::path list;    ///< a model and its flags in each line; "-": standard input
  std::filesystem::path output;  ///< gets a folder for each model, results.jsonl, summary.md and logs/
  /// Starts onnxport, with its first arguments, such as {"python3", "-m", "onnxport"}.
  std::vector<std::string> command = {};
  std::vector<std::string> flags;   ///< of all exports
  std::size_t jobs = 1;             ///< exports at a time
  std::uint64_t max_memory = 0;     ///< of all exports together, in bytes; 0: no limit
  std::uint64_t min_free_disk = 0;  ///< that the exports leave on the disk of the output, in bytes
  bool retry = false;               ///< export again what failed in an earlier run
  /// How often the user asked to stop. Once: running exports end, and finished ones stay. Twice: at once.
  std::function<int()> interrupts = {};
  std::function<void(const ManyResult&, std::size_t done, std::size_t total)> on_result = {};
  std::function<void(const std::string&)> on_notice = {};
  ManyEngine engine = {};
};

struct ManyReport {
  std::vector<ManyResult> results;  ///< in the order of the list
  bool interrupted = false;
  bool disk_full = false;  ///< stopped, because less than min_free_disk is free
  std::size_t count(const std::string& status) const;
};

/// Exports what has no result yet. A crash of one export harms no other. Each result is recorded in
/// results.jsonl as soon as it is known, so that a run that is stopped in any way can be continued by the
/// same call. Throws ExportError(invalid_argument) for a list that cannot be read, and (io), also if another
/// run uses the same output folder.
ONNXPORT_API ManyReport export_many(const ManyOptions& options);

/// Runs a task of an engine on the machine where this is called, and returns its result as a text. `command`:
/// as in ManyOptions, of this machine. Throws ExportError(io) if the folder of the output is not there.
ONNXPORT_API std::string run_many_task(const std::string& task, const std::vector<std::string>& command);

}  // namespace onnxport
