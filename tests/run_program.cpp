#include "run_program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

#include "support/file.h"
#include "support/temp_folder.h"
#include "test_paths.h"

namespace onnxport::test {

ProgramResult run_program(const std::vector<std::string>& arguments, const std::function<void()>& in_child) {
  const TempFolder folder;
  const std::string out = (folder.path() / "out").string();
  const std::string err = (folder.path() / "err").string();
  const std::string executable = program();
  std::vector<char*> argv = {const_cast<char*>(executable.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    constexpr mode_t kMode = 0600;
    dup2(open(out.c_str(), O_CREAT | O_WRONLY, kMode), STDOUT_FILENO);
    dup2(open(err.c_str(), O_CREAT | O_WRONLY, kMode), STDERR_FILENO);
    if (in_child) in_child();
    execv(executable.c_str(), argv.data());
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  constexpr int kSignalBase = 128;
  return {WIFEXITED(status) ? WEXITSTATUS(status) : kSignalBase + WTERMSIG(status), read_text_file(out),
          read_text_file(err)};
}

void expect_failure(const ProgramResult& result, int status, const std::vector<std::string>& words) {
  EXPECT_EQ(result.status, status) << result.err;
  for (const std::string& word : words)
    EXPECT_NE(result.err.find(word), std::string::npos) << word << "\nin: " << result.err;
  EXPECT_EQ(result.err.find("unexpected:"), std::string::npos) << result.err;
}

}  // namespace onnxport::test
