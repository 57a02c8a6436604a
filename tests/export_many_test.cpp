// `export-many`: a list of exports in processes of their own.
#include <gtest/gtest.h>
#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "batch/list.h"
#include "batch/process.h"
#include "golden_fixture.h"
#include "onnxport/error.h"
#include "run_program.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Words = std::vector<std::string>;

TEST(ModelList, WordsAsInAShell) {
  EXPECT_EQ(batch::split_words("org/name --task 'fill mask'  # comment"),
            (Words{"org/name", "--task", "fill mask"}));
  EXPECT_EQ(batch::split_words(R"(a\ b "c \"d\"" e#f '')"), (Words{"a b", "c \"d\"", "e#f", ""}));
  EXPECT_EQ(batch::split_words("  # nothing"), Words{});
  EXPECT_THROW(batch::split_words("a 'b"), ExportError);
}

TEST(ModelList, FlagsOfALineReplaceThoseOfAll) {
  const auto entries =
      batch::parse_list("a\nb --opset 17\n\na # again\n", {"--opset", "18", "--dtype=fp16"}, {});
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].flags, (Words{"--opset", "18", "--dtype=fp16"}));
  EXPECT_EQ(entries[1].flags, (Words{"--dtype=fp16", "--opset", "17"}));
  EXPECT_EQ(entries[1].line, 2U);
  EXPECT_EQ(batch::join_flags({"--pad_token_id", "-1", "-q"}, {"--pad_token_id", "3"}),
            (Words{"-q", "--pad_token_id", "3"}));
}

TEST(ModelList, ErrorsNameTheLine) {
  for (const auto& [text, words] : std::map<std::string, std::string>{
           {"a\n--dtype fp16", "line 2 of the list begins with the flag --dtype"},
           {"a --model=b", "line 1 of the list: --model cannot be set"},
           {"a --report b", "line 1 of the list: --report cannot be set"},
           {"a\n'b", "line 2 of the list: a quote ' has no end"},
           {"# none\n", "the list has no model"}}) {
    try {
      batch::parse_list(text, {}, {});
      ADD_FAILURE() << text;
    } catch (const ExportError& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  }
}

TEST(ModelList, FolderNames) {
  EXPECT_EQ(batch::folder_name("org/name"), "org--name");
  EXPECT_EQ(batch::folder_name("/no/such/model/"), "no--such--model");
  EXPECT_EQ(batch::folder_name("a b|c"), "a_b_c");
  const TempFolder folder;
  fs::create_directory(folder.path() / "bert");
  EXPECT_EQ(batch::folder_name((folder.path() / "bert/").string()), "bert");
}

class ExportMany : public testing::Test {
 protected:
  // Checkpoints with a long table of embeddings, so that an export takes a while.
  void make(int count) {
    for (int i = 0; i < count; ++i) {
      const fs::path checkpoint = folder_.path() / ("model" + std::to_string(i));
      synthesize(read_fixture("bert/feature-extraction"), checkpoint);
      auto config = parse_json<json>(read_text_file(checkpoint / "config.json"));
      config["vocab_size"] = kRows;
      std::ofstream(checkpoint / "config.json") << config.dump();
      NamedTensors tensors = read_safetensors(checkpoint / "model.safetensors");
      for (auto& [key, tensor] : tensors) {
        if (!key.ends_with("word_embeddings.weight")) continue;
        tensor = Tensor(tensor.dtype, {kRows, tensor.shape[1]});
      }
      write_safetensors(checkpoint / "model.safetensors", tensors);
      list_ << checkpoint.string() << "\n";
    }
    list_.flush();
  }

  Words arguments(Words more = {}) const {
    Words all = {"export-many", (folder_.path() / "list").string(), out_.string()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::unique_ptr<batch::Process> start(const Words& more = {}) const {
    return std::make_unique<batch::Process>(program(), arguments(more), folder_.path() / "stdout",
                                            folder_.path() / "stderr");
  }

  static batch::Exit wait(batch::Process& process) {
    for (int i = 0; i < 6000; ++i) {
      if (const auto exit = process.poll()) return *exit;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "it does not end";
    return {};
  }

  // The exports that run now.
  static std::vector<pid_t> workers(const batch::Process& process) {
    const std::string id = std::to_string(process.id());
    std::ifstream children("/proc/" + id + "/task/" + id + "/children");
    std::vector<pid_t> ids;
    for (pid_t child = 0; children >> child;) ids.push_back(child);
    return ids;
  }
  static pid_t wait_for_worker(const batch::Process& process) {
    for (int i = 0; i < 3000; ++i) {
      if (const auto ids = workers(process); !ids.empty()) return ids.front();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return -1;
  }

  // The lines of results.jsonl; each model has one at most.
  std::map<std::string, json> results() const {
    std::map<std::string, json> found;
    std::ifstream in(out_ / "results.jsonl");
    for (std::string line; std::getline(in, line);) {
      json result = parse_json<json>(line);
      const std::string model = result["model"];
      EXPECT_TRUE(found.emplace(model, std::move(result)).second) << "twice: " << model;
    }
    return found;
  }

  void expect_all_done(std::size_t count) const {
    const auto found = results();
    EXPECT_EQ(found.size(), count);
    for (const auto& [model, result] : found) {
      EXPECT_EQ(result["status"], "ok") << result;
      const fs::path onnx = out_ / result["folder"].get<std::string>() / "model.onnx";
      EXPECT_TRUE(fs::exists(onnx)) << onnx;
    }
  }

  static constexpr std::int64_t kRows = 150'000;
  TempFolder folder_;
  fs::path out_ = folder_.path() / "out";
  std::ofstream list_{folder_.path() / "list"};
};

TEST_F(ExportMany, ExportsSkipsAndRetries) {
  make(2);
  list_ << (folder_.path() / "missing").string() << " --opset 17\n" << std::flush;
  const ProgramResult first = run_program(arguments({"--jobs", "2", "--no-validate"}));
  EXPECT_EQ(first.status, 1) << first.err;
  EXPECT_NE(first.out.find("2 ok, 1 failed, 0 open"), std::string::npos) << first.out;
  auto found = results();
  ASSERT_EQ(found.size(), 3U);
  const json& failed = found[(folder_.path() / "missing").string()];
  EXPECT_EQ(failed["status"], "failed");
  EXPECT_NE(failed["error"].get<std::string>().find("no such folder"), std::string::npos);
  EXPECT_EQ(failed["flags"], (json{"--no-validate", "--opset", "17"}));
  EXPECT_EQ(found[(folder_.path() / "model0").string()]["report"]["model_type"], "bert");
  const std::string page = read_text_file(out_ / "summary.md");
  EXPECT_NE(page.find("3 models: 2 ok, 1 failed, 0 open."), std::string::npos) << page;
  EXPECT_NE(page.find("no such folder"), std::string::npos) << page;

  // What is done, and what failed, is not done again, unless it is asked for.
  const auto written = fs::last_write_time(out_ / "model0/model.onnx");
  EXPECT_EQ(run_program(arguments({"--no-validate"})).status, 1);
  synthesize(read_fixture("bert/feature-extraction"), folder_.path() / "missing");
  EXPECT_EQ(run_program(arguments({"--no-validate"})).status, 1);
  EXPECT_EQ(run_program(arguments({"--no-validate", "--retry", "-q"})).status, 0);
  expect_all_done(3);
  EXPECT_EQ(fs::last_write_time(out_ / "model0/model.onnx"), written);

  // Other flags are other exports, with folders of their own.
  EXPECT_EQ(run_program(arguments({"--no-validate", "--dtype", "fp16", "-q"})).status, 0);
  EXPECT_EQ(fs::last_write_time(out_ / "model0/model.onnx"), written);
  std::size_t folders = 0;
  for (const auto& entry : fs::directory_iterator(out_)) folders += entry.is_directory() ? 1 : 0;
  EXPECT_EQ(folders, 7U);  // logs, too
}

TEST_F(ExportMany, AKilledExportIsDoneOnceMoreAndOthersAreNot) {
  make(3);
  const auto process = start({"--jobs", "2"});
  const pid_t worker = wait_for_worker(*process);
  ASSERT_GT(worker, 0);
  kill(worker, SIGKILL);
  EXPECT_EQ(wait(*process).status, 0) << read_text_file(folder_.path() / "stderr");
  expect_all_done(3);
  std::vector<int> attempts;
  for (const auto& [model, result] : results()) attempts.push_back(result["attempts"]);
  std::ranges::sort(attempts);
  EXPECT_EQ(attempts, (std::vector<int>{1, 1, 2}));
  EXPECT_NE(read_text_file(folder_.path() / "stderr").find("was killed"), std::string::npos);
}

TEST_F(ExportMany, AKilledRunContinuesWhereItWas) {
  make(4);
  const auto process = start();
  for (int i = 0; i < 3000 && results().empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  const pid_t worker = wait_for_worker(*process);
  process->send(SIGKILL);
  EXPECT_EQ(wait(*process).signal, SIGKILL);
  for (int i = 0; i < 500 && kill(worker, 0) == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  const auto before = results();
  EXPECT_GE(before.size(), 1U);
  std::map<std::string, fs::file_time_type> written;
  for (const auto& [model, result] : before)
    written[model] = fs::last_write_time(out_ / result["folder"].get<std::string>() / "model.onnx");
  std::ofstream(out_ / "results.jsonl", std::ios::app) << R"({"model": "unfini)";  // as a full disk leaves it

  const ProgramResult again = run_program(arguments());
  EXPECT_EQ(again.status, 0) << again.err;
  expect_all_done(4);
  const auto after = results();
  for (const auto& [model, time] : written) {
    EXPECT_EQ(after.at(model), before.at(model));
    EXPECT_EQ(fs::last_write_time(out_ / after.at(model)["folder"].get<std::string>() / "model.onnx"), time);
  }
}

TEST_F(ExportMany, CtrlCStopsAndLeavesNothingUnfinished) {
  make(3);
  const auto process = start();
  ASSERT_GT(wait_for_worker(*process), 0);
  process->send(SIGINT);
  EXPECT_EQ(wait(*process).status, 130);
  for (const auto& entry : fs::recursive_directory_iterator(out_))
    EXPECT_NE(entry.path().extension(), ".tmp");
  EXPECT_NE(read_text_file(out_ / "summary.md").find("open"), std::string::npos);
  EXPECT_EQ(run_program(arguments({"-q"})).status, 0);
  expect_all_done(3);
}

TEST_F(ExportMany, BudgetsOfMemoryAndDisk) {
  make(2);
  ASSERT_EQ(run_program(arguments({"-q"})).status, 0);
  std::size_t peak = 0;  // of one export; a sanitizer needs several times the memory
  for (const auto& [model, result] : results())
    peak = std::max(peak, result["peak_memory_bytes"].get<std::size_t>());
  fs::remove_all(out_);
  const ProgramResult disk = run_program(arguments({"--min-free-disk", "8000TB"}));
  EXPECT_EQ(disk.status, 7);
  EXPECT_NE(disk.err.find("--min-free-disk"), std::string::npos);
  EXPECT_NE(disk.out.find("0 ok, 0 failed, 2 open"), std::string::npos) << disk.out;
  const ProgramResult memory = run_program(arguments({"--max-memory", "2MB", "--jobs", "2"}));
  EXPECT_EQ(memory.status, 1);
  EXPECT_NE(memory.out.find("needs more than 2.0 MB of memory"), std::string::npos) << memory.out;
  const std::string enough_for_one = std::to_string(peak * 3 / 2 / 1'000'000) + "MB";
  EXPECT_EQ(run_program(arguments({"--retry", "--max-memory", enough_for_one, "--jobs", "2", "-q"})).status,
            0);
  expect_all_done(2);
}

TEST_F(ExportMany, OneRunAtATime) {
  make(2);
  const auto process = start();
  ASSERT_GT(wait_for_worker(*process), 0);
  expect_failure(run_program(arguments()), 7, {"another run exports to"});
  EXPECT_EQ(wait(*process).status, 0);
}

}  // namespace
}  // namespace onnxport::test
