// Graphs are small: how many nodes a layer costs.
#include <gtest/gtest.h>

#include "golden_fixture.h"
#include "onnxport/export.h"
#include "onnxport/inspect.h"
#include "onnxport/tasks_manager.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

struct Size {
  std::string fixture;
  int opset;
  std::size_t most;
};

std::ostream& operator<<(std::ostream& out, const Size& size) {
  return out << size.fixture << " at opset " << size.opset;
}

class LayerSize : public testing::TestWithParam<Size> {};

// One layer more costs so many nodes more, whatever the graph shares between its layers.
TEST_P(LayerSize, IsWhatItHasToBe) {
  const TempFolder folder;
  const std::filesystem::path checkpoint = folder.path() / "checkpoint";
  const GoldenFixture fixture = read_fixture(GetParam().fixture);
  synthesize(fixture, checkpoint);
  const Model whole = TasksManager::instance().get_model_from_task(fixture.task, checkpoint);
  std::size_t nodes[2] = {};
  for (const std::int64_t layers : {1, 2}) {
    const Model model = whole.with_config(whole.config().with("num_hidden_layers", std::to_string(layers)));
    const auto config =
        TasksManager::instance().get_exporter_config_constructor(model)(model.config(), model.task(), {});
    const std::filesystem::path file = folder.path() / "model.onnx";
    export_onnx(model, *config, file, GetParam().opset, {.ignore_unexpected = true});
    nodes[layers - 1] = summarize(file).graph.nodes.size();
  }
  EXPECT_LE(nodes[1] - nodes[0], GetParam().most);
  EXPECT_GT(nodes[1], nodes[0]);
}

INSTANTIATE_TEST_SUITE_P(Models, LayerSize,
                         testing::Values(Size{"llama/text-generation-with-past", 18, 52},
                                         Size{"llama/text-generation-with-past", 23, 20},
                                         Size{"llama/text-generation-with-past", 26, 20},
                                         Size{"bert/feature-extraction", 18, 29}));

}  // namespace
}  // namespace onnxport::test
