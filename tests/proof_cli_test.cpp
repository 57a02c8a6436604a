// The line about the proof of a definition, as the program prints it.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "golden_fixture.h"
#include "run_program.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class ProofCli : public testing::Test {
 protected:
  void make(const std::string& fixture) const { synthesize(read_fixture(fixture), checkpoint()); }
  void set(const std::string& key, const json& value) const {
    json config = parse_json<json>(read_text_file(checkpoint() / "config.json"));
    config[key] = value;
    std::ofstream(checkpoint() / "config.json") << config.dump();
  }
  fs::path checkpoint() const { return folder_.path() / "checkpoint"; }
  fs::path output() const { return folder_.path() / "out"; }

  ProgramResult run(const std::string& command, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"inspect", checkpoint()};
    if (command == "export") arguments = {"export", "onnx", "--model", checkpoint(), output()};
    if (command == "validate") arguments = {"validate", checkpoint(), output()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }
  static std::size_t count(const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
  }
  // One line about the proof, which ends so, and the same as an object.
  void expect(const std::string& command, const std::string& end, const json& object) const {
    const ProgramResult result = run(command);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(count(result.out, "proven by"), 1U) << result.out;
    EXPECT_EQ(count(result.out, end + "\n"), 1U) << result.out;
    const json report = parse_json<json>(run(command, {"--json"}).out);
    EXPECT_EQ((report.is_array() ? report[0] : report)["proof"], object) << report;
  }

 private:
  TempFolder folder_;
};

const char* const commands[] = {"export", "validate", "inspect"};

TEST_F(ProofCli, SaysWhichFixturesProveADefinition) {
  make("distilbert/token-classification");
  for (const char* command : commands) {
    expect(command, "definition proven by 2 fixtures (transformers 4.57.6, 5.23.0)",
           {{"fixtures", 2},
            {"transformers", {"4.57.6", "5.23.0"}},
            {"not_covered", json::array()},
            {"covered_elsewhere", json::array()}});
  }
  EXPECT_EQ(run("export", {"-q"}).out, "");
}

TEST_F(ProofCli, NamesTheValuesThatTheyLack) {
  make("distilbert/token-classification");
  set("activation", "silu");
  for (const char* command : commands) {
    expect(command, "(transformers 4.57.6, 5.23.0); not covered by any of them: activation=silu",
           {{"fixtures", 2},
            {"transformers", {"4.57.6", "5.23.0"}},
            {"not_covered", {"activation=silu"}},
            {"covered_elsewhere", json::array()}});
  }
}

TEST_F(ProofCli, NamesTheValuesThatOnlyOtherTasksHave) {
  make("bert/fill-mask");
  set("hidden_act", "relu2");
  for (const char* command : commands) {
    expect(command, "(transformers 4.57.6, 5.23.0); covered only by those of other tasks: hidden_act=relu2",
           {{"fixtures", 11},
            {"transformers", {"4.57.6", "5.23.0"}},
            {"not_covered", json::array()},
            {"covered_elsewhere", {"hidden_act=relu2"}}});
  }
}

TEST_F(ProofCli, SaysItOnceForSeveralFiles) {
  make("t5/text2text-generation-with-past");
  const ProgramResult exported = run("export");
  EXPECT_EQ(count(exported.out, "definition proven by 15 fixtures"), 1U) << exported.out;
  EXPECT_GE(count(exported.out, "computes what its definition computes"), 5U) << exported.out;
  const ProgramResult validated = run("validate");
  EXPECT_EQ(count(validated.out, "definition proven by 15 fixtures"), 1U) << validated.out;
}

TEST_F(ProofCli, TypesOfPluginsHaveNoFixtures) {
  make("bert/feature-extraction");
  set("model_type", "of-a-plugin");
  const std::vector<std::string> plugin = {"--plugin", plugin_dir() + "/right.so", "--task",
                                           "feature-extraction"};
  const ProgramResult result = run("inspect", plugin);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(count(result.out, "no fixture proves this definition\n"), 1U) << result.out;
}

}  // namespace
}  // namespace onnxport::test
