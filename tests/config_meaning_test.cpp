// What configuration classes do beyond storing: keys that they rename, derive from other keys, fill in where
// a file has null, or override. The rows of config_meaning.tsv say so: a fixture, a change of its
// config.json, and another change after which the graph is the same (or the refusal). The graph of the
// fixture itself is the graph of the original, as tests/golden_test.cpp shows.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "config/json.h"
#include "golden_fixture.h"
#include "onnxport/error.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"
#include "test_paths.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Row {
  std::string fixture;
  std::string change;   ///< JSON: keys (`a.b` in an object inside) and values; "absent" takes a key away
  std::string same_as;  ///< another change, or "refused: " and a part of the message
  std::string origin;   ///< of the rule
};

std::vector<Row> rows() {
  std::vector<Row> rows;
  std::ifstream file(fs::path(test::source_dir()) / "tests" / "config_meaning.tsv");
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    std::vector<std::string> cells(1);
    for (const char c : line) {
      if (c == '\t') {
        cells.emplace_back();
      } else {
        cells.back() += c;
      }
    }
    cells.resize(4);
    rows.push_back({cells[0], cells[1], cells[2], cells[3]});
  }
  return rows;
}

std::string changed(json config, const std::string& change) {
  const json changes = parse_json<json>(change);
  for (const auto& [path, value] : changes.items()) {
    json* place = &config;
    std::string key = path;
    for (auto dot = key.find('.'); dot != key.npos; dot = key.find('.')) {
      place = &(*place)[key.substr(0, dot)];
      key.erase(0, dot + 1);
    }
    if (value == "absent") {
      place->erase(key);
    } else {
      (*place)[key] = value;
    }
  }
  return config.dump(1);
}

/// A fixture's checkpoint, with changes of its configuration.
class Checkpoint {
 public:
  explicit Checkpoint(const std::string& name) : fixture_(test::read_fixture(name)) {
    test::synthesize(fixture_, folder_.path());
    config_ = config::parse_json(read_text_file(folder_.path() / "config.json"), "config.json");
  }

  /// The graphs of all components as text, or the message of the error.
  std::string graphs(const std::string& change) const {
    std::ofstream(folder_.path() / "config.json") << changed(config_, change);
    try {
      const Model model = TasksManager::instance().get_model_from_task(fixture_.task, folder_.path());
      const ExportPlan plan = make_plan(model);
      std::string text;
      for (const Component& component : plan.components) text += print(model.build(component));
      model.check_accounting(false);
      return text;
    } catch (const ExportError& error) {
      return std::string("error: ") + error.what();
    }
  }

 private:
  test::GoldenFixture fixture_;
  TempFolder folder_;
  json config_;
};

TEST(ConfigMeaning, IsThatOfTheClass) {
  std::map<std::string, Checkpoint> checkpoints;
  const std::vector<Row> all = rows();
  EXPECT_GT(all.size(), 80U);
  for (const Row& row : all) {
    SCOPED_TRACE(row.fixture + " with " + row.change + ": " + row.origin);
    const Checkpoint& checkpoint = checkpoints.try_emplace(row.fixture, row.fixture).first->second;
    const std::string graphs = checkpoint.graphs(row.change);
    constexpr std::string_view refused = "refused: ";
    if (row.same_as.starts_with(refused)) {
      EXPECT_TRUE(graphs.starts_with("error: ")) << "it was not refused";
      EXPECT_NE(graphs.find(row.same_as.substr(refused.size())), graphs.npos) << graphs.substr(0, 500);
      continue;
    }
    const std::string expected = checkpoint.graphs(row.same_as);
    // A size that the fixture's tensors do not have is a meaning too.
    const bool other_size = expected.starts_with("error: tensor '");
    if (!other_size) EXPECT_FALSE(graphs.starts_with("error: ")) << graphs;
    EXPECT_TRUE(graphs == expected) << "another graph than with " << row.same_as << expected.substr(0, 300);
  }
}

}  // namespace
}  // namespace onnxport
