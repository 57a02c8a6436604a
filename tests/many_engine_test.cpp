// `export-many` with exports that run elsewhere.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "errors.h"
#include "golden_fixture.h"
#include "onnxport/export_many.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class ManyEngineTest : public testing::Test {
 protected:
  ManyEngineTest() {
    const fs::path checkpoint = folder_.path() / "model";
    synthesize(read_fixture("bert/feature-extraction"), checkpoint);
    std::ofstream(folder_.path() / "list") << checkpoint.string() << " --opset 16\n"
                                           << checkpoint.string() << " --opset 17\n"
                                           << checkpoint.string() << " --opset 3\n";  // fails
    options_.list = folder_.path() / "list";
    options_.output = folder_.path() / "out";
    options_.command = {program()};
    options_.flags = {"--no-validate"};
    options_.jobs = 2;
    options_.on_notice = [this](const std::string& text) { notices_ += text + "\n"; };
    options_.engine.start = [this](std::size_t id, const std::string& task) {
      tasks_.emplace_back(id, task);
      most_ = std::max(most_, tasks_.size());
    };
    options_.engine.poll = [this] { return poll(); };
    options_.engine.stop = [this] { stopped_ = true; };
  }

  // Runs one task, unless it is to be lost.
  virtual std::vector<ManyEnd> poll() {
    auto [id, task] = std::move(tasks_.front());
    tasks_.pop_front();
    if (lose_-- > 0) return {{id, "", "its machine is gone"}};
    const ManyEnd end{id, run_many_task(task, options_.command), ""};
    return {end, end};  // a result that comes twice counts once
  }

  std::vector<json> lines() const {
    std::vector<json> all;
    std::ifstream in(options_.output / "results.jsonl");
    for (std::string line; std::getline(in, line);) all.push_back(parse_json<json>(line));
    return all;
  }

  TempFolder folder_;
  ManyOptions options_;
  std::deque<std::pair<std::size_t, std::string>> tasks_;
  std::string notices_;
  std::size_t most_ = 0;
  int lose_ = 0;
  bool stopped_ = false;
};

TEST_F(ManyEngineTest, ResultsAreThoseOfThisMachine) {
  const ManyReport report = export_many(options_);
  EXPECT_EQ(report.count("ok"), 2U);
  EXPECT_EQ(report.count("failed"), 1U);
  EXPECT_EQ(most_, 2U);
  const std::vector<json> elsewhere = lines();
  ASSERT_EQ(elsewhere.size(), 3U);

  ManyOptions here = options_;
  here.engine = {};
  here.jobs = 1;
  here.output = folder_.path() / "here";
  export_many(here);
  std::swap(options_.output, here.output);
  const std::vector<json> local = lines();
  ASSERT_EQ(local.size(), 3U);
  for (std::size_t i = 0; i < local.size(); ++i) {
    for (const char* key : {"model", "flags", "status", "folder", "key", "attempts", "exit_status"})
      EXPECT_EQ(local[i][key], elsewhere[i][key]) << key;
    EXPECT_EQ(local[i].value("error", ""), elsewhere[i].value("error", ""));
  }
}

TEST_F(ManyEngineTest, ALostExportIsStartedOnceMore) {
  lose_ = 1;
  const ManyReport report = export_many(options_);
  EXPECT_EQ(report.count("ok"), 2U);
  const std::vector<json> all = lines();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all.back()["attempts"], 2);  // at the end
  EXPECT_NE(notices_.find("was lost with its worker (its machine is gone)"), std::string::npos) << notices_;

  options_.output = folder_.path() / "again";
  lose_ = 100;
  EXPECT_EQ(export_many(options_).count("failed"), 3U);
  EXPECT_EQ(lines()[0]["error"], "its worker was lost: its machine is gone");
}

TEST_F(ManyEngineTest, StopsAndGoesOn) {
  int asked = 0;
  options_.interrupts = [&asked] { return asked++ < 2 ? 0 : 1; };
  const ManyReport report = export_many(options_);
  EXPECT_TRUE(report.interrupted);
  EXPECT_TRUE(stopped_);
  EXPECT_EQ(lines().size(), 2U);
  options_.interrupts = {};
  tasks_.clear();
  EXPECT_EQ(export_many(options_).count("ok"), 2U);
  EXPECT_EQ(lines().size(), 3U);
}

TEST_F(ManyEngineTest, AFullDiskThereStopsTheRun) {
  options_.min_free_disk = std::uint64_t{1} << 60;
  const ManyReport report = export_many(options_);
  EXPECT_TRUE(report.disk_full);
  EXPECT_EQ(report.count("open"), 3U);
}

TEST_F(ManyEngineTest, WorkersWithoutTheFolderSaySo) {
  const std::string task =
      R"({"model": "m", "name": "m", "flags": [], "key": "k", "folder": "m", "output": "/no/such/folder",
          "max_memory": 0, "min_free_disk": 0})";
  EXPECT_EQ(
      complaint(ErrorCode::io, [&] { run_many_task(task, {program()}); }),
      "/no/such/folder is not on the machine of this worker: expected a folder that all machines share");
  EXPECT_EQ(complaint(ErrorCode::invalid_argument, [&] { run_many_task("[1]", {program()}); }),
            "expected a task of export_many() of the same version, got [1]");
}

}  // namespace
}  // namespace onnxport::test
