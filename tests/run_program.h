/// Runs the program as a user would.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace onnxport::test {

struct ProgramResult {
  int status = -1;  ///< exit status; 128 + signal when it was killed
  std::string out;
  std::string err;
};

/// Runs the built program with arguments. `in_child` runs in the new process before the program starts.
ProgramResult run_program(const std::vector<std::string>& arguments,
                          const std::function<void()>& in_child = {});

/// The program ended with this status and one error that holds all these words.
void expect_failure(const ProgramResult& result, int status, const std::vector<std::string>& words);

}  // namespace onnxport::test
