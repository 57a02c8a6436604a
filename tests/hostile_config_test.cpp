// Values in config.json that no model has: each gives one clear error or a graph, never a crash.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "config/json.h"
#include "golden_fixture.h"
#include "onnxport/error.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "support/file.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

using nlohmann::json;

// One fixture of each type: that of the last task without a variant, which has the most parts.
std::vector<std::string> one_of_each_type() {
  std::map<std::string, std::string> chosen;
  for (const std::string& name : golden_fixtures()) {
    if (name.find('+') == name.npos) chosen[name.substr(0, name.find('/'))] = name;
  }
  std::vector<std::string> names;
  for (const auto& [type, name] : chosen) names.push_back(name);
  for (const std::string& name : fixture_of_each_type()) {
    if (name.starts_with("diffusers/")) names.push_back(name);  // all of them are variants
  }
  return names;
}

std::vector<json> hostile_values(const json& value) {
  if (value.is_boolean()) return {!value.get<bool>()};
  if (value.is_number_integer()) return {0, -1, value.get<std::int64_t>() + 1, 1'000'003};
  if (value.is_number()) return {0.0, -1.0};
  if (value.is_string()) return {"nonsense", ""};
  if (value.is_array() && !value.empty()) {
    json longer = value, odd = value;
    longer.push_back(value.back());
    if (odd.back().is_number()) odd.back() = 0;
    return {json::array(), longer, odd};
  }
  return {};
}

class HostileConfig : public testing::TestWithParam<std::string> {};

TEST_P(HostileConfig, GivesAnErrorOrAGraph) {
  const GoldenFixture fixture = read_fixture(GetParam());
  const TempFolder folder;
  synthesize(fixture, folder.path());
  const TasksManager& tasks = TasksManager::instance();
  const Model model = tasks.get_model_from_task(fixture.task, folder.path());
  const json config = config::parse_json(model.config().text(), "config.json");

  const auto attempt = [&](const std::string& key, const json& value) {
    SCOPED_TRACE(key + " = " + value.dump());
    try {
      const Model changed = model.with_config(model.config().with(key, value.dump()));
      const ExportPlan plan = make_plan(
          changed, {.variant = fixture.variant, .split = fixture.monolith ? Split::monolith : Split::merged});
      for (const Component& component : plan.components) changed.build(component);
    } catch (const ExportError& error) {
      EXPECT_NE(error.code(), ErrorCode::internal) << error.what();
      EXPECT_STRNE(error.what(), "");
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  };
  for (const auto& [key, value] : config.items()) {
    if (key == "model_type") continue;
    for (const json& hostile : hostile_values(value)) attempt(key, hostile);
    if (!value.is_object()) continue;
    const bool alike = key == "id2label" || key == "label2id";  // a thousand entries, of which three will do
    int tried = 0;
    for (const auto& [inner, inner_value] : value.items()) {
      if (alike && ++tried > 3) break;
      for (const json& hostile : hostile_values(inner_value)) {
        json changed = value;
        changed[inner] = hostile;
        attempt(key, changed);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, HostileConfig, testing::ValuesIn(one_of_each_type()),
                         [](const auto& fixture) {
                           std::string name = fixture.param;
                           for (char& c : name)
                             c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace onnxport::test
