/// A program that runs beside this one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace onnxport::batch {

/// How a process ended.
struct Exit {
  int status = -1;  ///< -1 if a signal ended it
  int signal = 0;
  std::uint64_t peak_memory = 0;  ///< bytes
};

/// A process in a group of its own, so that the terminal's Ctrl-C does not reach it. It is killed if the
/// thread that started it ends, even by SIGKILL, and when this object is destroyed.
class Process {
 public:
  /// Starts it; its output and its errors go to these files. Throws ExportError(io).
  Process(const std::filesystem::path& program, const std::vector<std::string>& arguments,
          const std::filesystem::path& out, const std::filesystem::path& err);
  ~Process();
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// The end, if it has ended.
  std::optional<Exit> poll();
  void send(int signal) const;
  /// -1 if it has ended.
  pid_t id() const { return id_; }
  /// Resident memory now, in bytes; 0 if the system does not tell.
  std::uint64_t memory() const;

 private:
  pid_t id_ = -1;  ///< -1: it has ended
};

}  // namespace onnxport::batch
