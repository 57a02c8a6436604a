// The role of a language model: what it makes of tokens, it makes of their vectors too.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "golden_fixture.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "onnxport/validate.h"
#include "reference/interpreter.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

class LanguageModel : public testing::TestWithParam<std::string> {};

// Both components in one graph: the table of tokens, and the decoder of vectors behind it.
Graph embed_and_decode(const Model& model, const Component& component) {
  const auto& decode = model.definition().roles.language_model->decode;
  Graph graph(component.interface.float_dtype);
  NamedValues inputs;
  for (const TensorSpec& spec : component.interface.inputs)
    inputs.emplace_back(spec.name, graph.input(spec.name, {spec.dtype, spec.shape}));

  Component table = component;
  table.interface.states.clear();
  table.interface.outputs = {{.name = "inputs_embeds"}};
  // Some layers look at the tokens, too.
  const PretrainedConfig config = model.config().unaccounted();
  const bool layers_look = config.maybe_integer("hidden_size_per_layer_input").value_or(0) > 0;
  if (layers_look) table.interface.outputs.push_back({.name = "per_layer_inputs"});
  const NamedValues embedded = decode(Inputs({{"input_ids", Inputs(inputs)["input_ids"]}}), model, table);
  EXPECT_EQ(embedded.size(), table.interface.outputs.size());
  EXPECT_EQ(embedded.front().first, "inputs_embeds");

  std::erase_if(inputs, [](const auto& input) { return input.first == "input_ids"; });
  inputs.insert(inputs.end(), embedded.begin(), embedded.end());
  for (const auto& [name, value] : decode(Inputs(inputs), model, component)) graph.output(name, value);
  return graph;
}

TEST_P(LanguageModel, TakesVectorsInsteadOfTokens) {
  const TempFolder folder;
  const GoldenFixture fixture = read_fixture(GetParam());
  synthesize(fixture, folder.path());
  const Model model = TasksManager::instance().get_model_from_task(fixture.task, folder.path());
  ASSERT_TRUE(model.definition().roles.offers(Role::language_model));
  const ExportPlan plan = make_plan(model, {.variant = fixture.variant});
  const GoldenFile& file = fixture.files.front();
  const Graph graph = embed_and_decode(model, plan.component(file.stem));

  std::vector<reference::Case> cases;
  for (const GoldenCase& golden : file.cases) {
    reference::Case& one = cases.emplace_back();
    for (const auto& [name, value] : graph.inputs()) one.emplace_back(name, *find(golden.inputs, name));
  }
  const auto results = reference::interpret(graph, cases);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const GoldenCase& golden = file.cases[i];
    for (std::size_t o = 0; o < results[i].size(); ++o) {
      const std::string& name = graph.outputs()[o].first;
      const Tensor* reference = find(golden.outputs, name);
      ASSERT_NE(reference, nullptr) << name;
      const OutputComparison comparison = compare_outputs(name, reference::to_tensor(results[i][o]),
                                                          *reference, golden.atol, NonFinite::allow);
      EXPECT_TRUE(comparison.passed) << golden.name << ' ' << name << ": max difference "
                                     << comparison.max_difference;
    }
  }
}

// One fixture of each type that can be one, and generates text itself.
std::vector<std::string> language_models() {
  std::vector<std::string> names;
  for (const std::string& name : golden_fixtures()) {
    if (name.find("/text-generation-with-past") == name.npos || !is_first_of_task(name)) continue;
    const auto definition = TasksManager::instance().get_definition(name.substr(0, name.find('/')));
    if (definition->roles.offers(Role::language_model)) names.push_back(name);
  }
  return names;
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param.substr(0, info.param.find('/'));
  std::replace_if(name.begin(), name.end(), [](char c) { return c == '-'; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, LanguageModel, testing::ValuesIn(language_models()), test_name);

}  // namespace
}  // namespace onnxport::test
