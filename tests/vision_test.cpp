// Modules of models of images: against the ops that say the same, and values worked out by hand.
#include "onnxport/nn/vision.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "golden_fixture.h"
#include "onnxport/error.h"
#include "onnxport/model.h"
#include "onnxport/nn/basic.h"
#include "onnxport/onnx_config.h"
#include "onnxport/op.h"
#include "onnxport/tasks_manager.h"
#include "reference/interpreter.h"
#include "support/temp_folder.h"

namespace onnxport {
namespace {

using reference::HostTensor;

Weight counting(std::vector<std::int64_t> shape, double step = 1) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = step * static_cast<double>(i);
  return Weight::from_doubles(DType::f32, std::move(shape), values);
}

// Not smooth, so that each coefficient shows.
Weight bumpy(std::vector<std::int64_t> shape) {
  std::vector<double> values = counting(shape).to_doubles();
  for (double& value : values) value = std::sin(value * value);
  return Weight::from_doubles(DType::f32, std::move(shape), values);
}

HostTensor output_of(Graph& graph, Value value, const reference::Case& inputs = {}) {
  graph.output("y", value);
  return reference::interpret(graph, {inputs})[0].back();
}

TEST(GridTable, ResamplesAsInterpolateDoes) {
  constexpr std::int64_t rows = 3, columns = 5, width = 2, count = 2;
  const Weight table = bumpy({count, rows * columns, width});
  for (const char* mode : {"linear", "cubic"}) {
    for (const auto& [height, breadth] : {std::pair{3, 5}, {5, 3}, {1, 1}, {2, 11}, {9, 4}, {6, 10}}) {
      SCOPED_TRACE(fmt::format("{} to {} by {}", mode, height, breadth));
      Graph graph;
      const Value size = graph.input("size", {DType::f32, {Dim::symbol("height"), Dim::symbol("width")}});
      const nn::GridTable resample(table, {rows, columns}, mode);
      const Value got = resample(graph, size.dim(0), size.dim(1));
      const Value image =
          op::reshape(op::transpose(graph.weight(table), 1, 2), {count, width, rows, columns});
      const Value expected = nn::image_to_tokens(op::interpolate(image, {size.dim(0), size.dim(1)}, mode));
      EXPECT_EQ(got.shape(), expected.shape());
      graph.output("expected", expected);
      graph.output("got", got);
      const auto outputs =
          reference::interpret(graph, {{{"size", Tensor(DType::f32, {height, breadth})}}})[0];
      ASSERT_EQ(outputs[0].shape, outputs[1].shape);
      for (std::size_t i = 0; i < outputs[0].reals.size(); ++i)
        EXPECT_NEAR(outputs[1].reals[i], outputs[0].reals[i], 1e-9) << i;
    }
  }
}

TEST(GridTable, OfItsOwnSizeIsTheTable) {
  Graph graph;
  const Weight table = bumpy({1, 6, 4});
  const Value got = nn::GridTable(table, {2, 3}, "cubic")(graph, 2, 3);
  EXPECT_EQ(got, graph.weight(table));
  EXPECT_EQ(graph.nodes().size(), 1U);
}

TEST(GridTable, UnknownModeIsAnError) {
  Graph graph;
  EXPECT_THROW(nn::GridTable(bumpy({1, 6, 4}), {2, 3}, "lanczos")(graph, 4, 3), ExportError);
}

TEST(Vision, TokensAndImagesAreInverse) {
  Graph graph;
  const Value image = graph.weight(counting({2, 3, 4, 5}));
  const Value tokens = nn::image_to_tokens(image);
  EXPECT_EQ(tokens.shape(), (Shape{2, 20, 3}));
  const HostTensor back = output_of(graph, nn::tokens_to_image(tokens, 4, 5));
  EXPECT_EQ(back.shape, (std::vector<std::int64_t>{2, 3, 4, 5}));
  EXPECT_EQ(back.reals, counting({2, 3, 4, 5}).to_doubles());
}

TEST(Vision, PixelShuffleSpreadsChannels) {
  Graph graph;
  const Value image = graph.weight(counting({1, 8, 1, 2}));
  const HostTensor y = output_of(graph, nn::pixel_shuffle(image, 2));
  EXPECT_EQ(y.shape, (std::vector<std::int64_t>{1, 2, 2, 4}));
  EXPECT_EQ(y.reals, (std::vector<double>{0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15}));
}

// A configuration that cannot be built gives one error with a code, whatever numbers are in it.
TEST(VisionConfig, BadValuesAreErrors) {
  struct Bad {
    const char *fixture, *key, *value;
    ErrorCode code;
    const char* message;
  };
  const Bad cases[] = {
      {"vit/masked-im", "patch_size", "0", ErrorCode::bad_config, "'patch_size' is 0"},
      {"vit/masked-im", "patch_size", "[8, 8, 8]", ErrorCode::bad_config, "expected one or two numbers"},
      {"vit/masked-im", "patch_size", "64", ErrorCode::bad_config, "no patch of 64 by 64 fits"},
      {"vit/masked-im", "num_attention_heads", "0", ErrorCode::bad_config, "'num_attention_heads' is 0"},
      {"vit/masked-im", "encoder_stride", "0", ErrorCode::bad_config, "'encoder_stride' is 0"},
      {"dinov2/feature-extraction", "mlp_ratio", "1e30", ErrorCode::bad_config, "mlp_ratio is 1e+30"},
      {"yolos/object-detection", "num_detection_tokens", "-1", ErrorCode::bad_config, "is -1"},
      {"dpt/depth-estimation", "head_in_index", "4", ErrorCode::bad_config, "head_in_index 4"},
      {"dpt/depth-estimation", "reassemble_factors", "[0, 2, 1, 0.5]", ErrorCode::unsupported, "[0, 2"},
      {"dpt/depth-estimation", "reassemble_factors", "[2.5, 2, 1, 1]", ErrorCode::unsupported, "[2.5"},
      {"dpt/depth-estimation", "backbone_out_indices", "[0, 1]", ErrorCode::bad_config, "2 hidden states"},
      {"dpt/depth-estimation", "backbone", "\"resnet50\"", ErrorCode::unsupported, "backbone"},
      {"dpt/depth-estimation", "backbone_config", R"({"model_type": "levit"})", ErrorCode::unsupported,
       "backbone_config is of type 'levit', which does not offer the role 'backbone'; similar types that "
       "do: "},
      {"dpt/depth-estimation+dinov2", "backbone_config",
       R"({"model_type": "dinov2", "out_features": ["stage99"], "reshape_hidden_states": false})",
       ErrorCode::bad_config, "the backbone is to return stage99, but it has 12 stages"},
      {"dpt/depth-estimation+hybrid", "neck_ignore_stages", "[]", ErrorCode::unsupported, "0 and 1"},
      {"dpt/depth-estimation+hybrid", "backbone_config", R"({"layer_type": "basic"})", ErrorCode::bad_config,
       "layer_type is 'basic', expected preactivation or bottleneck"},
  };
  const TasksManager& tasks = TasksManager::instance();
  for (const Bad& bad : cases) {
    SCOPED_TRACE(fmt::format("{}: {} = {}", bad.fixture, bad.key, bad.value));
    const TempFolder folder;
    const test::GoldenFixture fixture = test::read_fixture(bad.fixture);
    test::synthesize(fixture, folder.path());
    const Model opened = tasks.get_model_from_task(fixture.task, folder.path());
    const Model model = opened.with_config(opened.config().with(bad.key, bad.value));
    try {
      model.build(*tasks.get_exporter_config_constructor(model)(model.config(), model.task(), {}));
      ADD_FAILURE() << "expected an error";
    } catch (const ExportError& error) {
      EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(bad.code));
      EXPECT_NE(std::string_view(error.what()).find(bad.message), std::string_view::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace onnxport
