// The flags around --quantize keep.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "run_program.h"

namespace onnxport::test {
namespace {

std::string refusal(std::vector<std::string> more) {
  std::vector<std::string> arguments = {"export", "onnx", "--model", "nowhere", "out"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const ProgramResult result = run_program(arguments);
  EXPECT_EQ(result.status, 2) << result.err;
  return result.err;
}

TEST(KeepCli, FlagsThatDoNotFit) {
  const auto contains = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  contains(refusal({"--quantize", "keep", "--layout", "transformers.js"}),
           "--quantize keep: layout transformers.js names files after precisions");
  contains(refusal({"--variants", "fp32,keep"}), "use --quantize keep");
  contains(refusal({"--quantize", "keep", "--block-size", "32"}), "--block-size has no effect without");
  contains(refusal({"--quantize", "keep", "--quantize-algorithm", "rtn"}),
           "--quantize-algorithm has no effect without");
}

}  // namespace
}  // namespace onnxport::test
