#include "batch/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <utility>

#include "support/file.h"

namespace onnxport::batch {
namespace {

/// Runs in the new process, where only functions that are safe after a fork may be called.
[[noreturn]] void become(pid_t parent, const char* program, char* const* arguments, const char* out,
                         const char* err) {
  constexpr mode_t kMode = 0644;
  constexpr int kNotStarted = 127;
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kNotStarted);  // it ended before
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  const int in = open("/dev/null", O_RDONLY);
  const int first = open(out, O_CREAT | O_TRUNC | O_WRONLY, kMode);
  const int second = open(err, O_CREAT | O_TRUNC | O_WRONLY, kMode);
  if (in < 0 || first < 0 || second < 0) _exit(kNotStarted);
  dup2(in, STDIN_FILENO);
  dup2(first, STDOUT_FILENO);
  dup2(second, STDERR_FILENO);
  execv(program, arguments);
  _exit(kNotStarted);
}

}  // namespace

Process::Process(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                 const std::filesystem::path& out, const std::filesystem::path& err) {
  std::vector<char*> words = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  const pid_t parent = getpid();
  id_ = fork();
  if (id_ < 0) throw io_error("start", program, errno);
  if (id_ == 0) become(parent, program.c_str(), words.data(), out.c_str(), err.c_str());
}

Process::~Process() {
  if (id_ < 0) return;
  send(SIGKILL);
  waitpid(id_, nullptr, 0);
}

Process::Process(Process&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
Process& Process::operator=(Process&& other) noexcept {
  std::swap(id_, other.id_);
  return *this;
}

std::optional<Exit> Process::poll() {
  int status = 0;
  rusage usage{};
  if (id_ < 0 || wait4(id_, &status, WNOHANG, &usage) != id_) return std::nullopt;
  id_ = -1;
  constexpr std::uint64_t kKilo = 1024;
  Exit exit;
  exit.peak_memory = static_cast<std::uint64_t>(usage.ru_maxrss) * kKilo;
  if (WIFEXITED(status)) exit.status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) exit.signal = WTERMSIG(status);
  return exit;
}

void Process::send(int signal) const {
  if (id_ > 0) kill(id_, signal);
}

std::uint64_t Process::memory() const {
  std::ifstream file("/proc/" + std::to_string(id_) + "/statm");
  std::uint64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace onnxport::batch
