// A run that is killed leaves no model, or a whole one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "golden_fixture.h"
#include "run_program.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::microseconds;

// The model of a folder: the bytes of model.onnx and of its data; empty where there is no model.onnx.
using ModelBytes = std::pair<std::string, std::string>;
ModelBytes read_model(const fs::path& folder) {
  if (!fs::exists(folder / "model.onnx")) return {};
  return {read_text_file(folder / "model.onnx"), read_text_file(folder / "model.onnx_data")};
}

class Kill : public testing::Test {
 protected:
  // A checkpoint whose weights take a while: a long table of embeddings.
  Kill() {
    constexpr std::int64_t kRows = 100'000;
    synthesize(read_fixture("bert/feature-extraction"), checkpoint_);
    auto config = parse_json<nlohmann::json>(read_text_file(checkpoint_ / "config.json"));
    config["vocab_size"] = kRows;
    std::ofstream(checkpoint_ / "config.json") << config.dump();
    NamedTensors tensors = read_safetensors(checkpoint_ / "model.safetensors");
    for (auto& [key, tensor] : tensors) {
      if (!key.ends_with("word_embeddings.weight")) continue;
      const std::vector<double> few = tensor.to_doubles();
      tensor.shape[0] = kRows;
      std::vector<double> many(static_cast<std::size_t>(kRows * tensor.shape[1]));
      for (std::size_t i = 0; i < many.size(); ++i) many[i] = few[i % few.size()] + 1e-6 * double(i);
      tensor = Tensor::from_doubles(tensor.dtype, tensor.shape, many);
    }
    write_safetensors(checkpoint_ / "model.safetensors", tensors);
  }

  std::vector<std::string> arguments(const std::string& dtype) const {
    return {"export", "onnx",    "--model",       checkpoint_.string(), out_.string(), "--dtype",
            dtype,    "--quiet", "--no-validate", "--external-data",    "always"};
  }

  ModelBytes finished(const std::string& dtype) const {
    const ProgramResult result = run_program(arguments(dtype));
    EXPECT_EQ(result.status, 0) << result.err;
    return read_model(out_);
  }

  // Was the program still running?
  bool kill_after(microseconds delay, const std::string& dtype) const {
    const std::string executable = program();
    const std::vector<std::string> words = arguments(dtype);
    std::vector<char*> argv = {const_cast<char*>(executable.c_str())};
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      const int nowhere = open("/dev/null", O_WRONLY);
      dup2(nowhere, STDOUT_FILENO);
      dup2(nowhere, STDERR_FILENO);
      execv(executable.c_str(), argv.data());
      _exit(127);
    }
    std::this_thread::sleep_for(delay);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status);
  }

  TempFolder folder_;
  fs::path checkpoint_ = folder_.path() / "checkpoint", out_ = folder_.path() / "out";
};

TEST_F(Kill, AtAnyMomentLeavesNoModelOrAWholeOne) {
  const ModelBytes old = finished("fp32");
  const auto start = std::chrono::steady_clock::now();
  const ModelBytes wanted = finished("fp16");
  const auto duration =
      std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now() - start).count();
  ASSERT_FALSE(wanted.first.empty());
  ASSERT_NE(old, wanted);

  constexpr int kMoments = 50;
  std::mt19937 random(7);  // NOLINT: the same moments on every run, as far as machines allow
  int killed = 0, without_model = 0;
  for (int i = 0; i < kMoments; ++i) {
    const bool over_old_model = i % 2 == 1;
    fs::remove_all(out_);
    if (over_old_model) {
      fs::create_directories(out_);
      std::ofstream(out_ / "model.onnx", std::ios::binary) << old.first;
      std::ofstream(out_ / "model.onnx_data", std::ios::binary) << old.second;
    }
    const microseconds moment(std::uniform_int_distribution<std::int64_t>(0, duration)(random));
    killed += kill_after(moment, "fp16") ? 1 : 0;
    const ModelBytes left = read_model(out_);
    without_model += left.first.empty() ? 1 : 0;
    const bool good = left.first.empty() || left == wanted || (over_old_model && left == old);
    EXPECT_TRUE(good) << "killed after " << moment.count() << " of " << duration << " microseconds";
    ASSERT_TRUE(finished("fp16") == wanted);
    for (const auto& entry : fs::directory_iterator(out_))
      EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
  }
  EXPECT_GT(killed, kMoments / 4);
  EXPECT_GT(without_model, 0);
}

}  // namespace
}  // namespace onnxport::test
