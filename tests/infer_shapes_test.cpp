// Shape inference of models with many values and many inner graphs.
#include "serialize/infer_shapes.h"

#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "onnx/onnx_graph.h"
#include "serialize/model_proto.h"
#include "writer_fixture.h"

namespace onnxport::serialize {
namespace {

Weight zeros(std::vector<std::int64_t> shape) {
  std::size_t count = 1;
  for (const std::int64_t dim : shape) count *= static_cast<std::size_t>(dim);
  return Weight::from_doubles(DType::f32, std::move(shape), std::vector<double>(count, 0.0));
}

/// `output` = input `op` weight.
std::shared_ptr<OnnxGraph> branch(const std::string& op, const std::string& input, const std::string& weight,
                                  const std::string& output) {
  auto graph = std::make_shared<OnnxGraph>();
  graph->name = output;
  graph->outputs = {{output, {DType::f32, {4, 3}}}};
  graph->nodes = {{op, "", "", {input, weight}, {output}, {}}};
  return graph;
}

/// `layers` Ifs, one behind the other. Each has a weight [3], or another shape in layer `odd`.
OnnxGraph layers_of(int layers, int odd = -1, const std::vector<std::int64_t>& odd_shape = {}) {
  OnnxGraph graph;
  graph.name = "layers";
  graph.opsets[""] = 17;
  graph.inputs = {{"x0", {DType::f32, {4, 3}}}, {"flag", {DType::boolean, {}}}};
  for (int i = 0; i < layers; ++i) {
    const std::string at = std::to_string(i), x = "x" + at, w = "w" + at;
    graph.initializers.push_back({w, zeros(i == odd ? odd_shape : std::vector<std::int64_t>{3})});
    graph.nodes.push_back(
        {"If",
         "",
         "layer" + at,
         {"flag"},
         {"x" + std::to_string(i + 1)},
         {{"then_branch", branch("Add", x, w, "a" + at)}, {"else_branch", branch("Sub", x, w, "b" + at)}}});
  }
  graph.outputs = {{"x" + std::to_string(layers), {DType::f32, {4, 3}}}};
  return graph;
}

onnx::ModelProto proto_of(const OnnxGraph& graph) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  *model.mutable_graph() = nodes_proto(graph);
  model.mutable_graph()->MergeFrom(interface_proto(graph));
  for (const OnnxInitializer& initializer : graph.initializers)
    *model.mutable_graph()->add_initializer() = tensor_header(initializer);
  for (auto& output : *model.mutable_graph()->mutable_output()) output.clear_type();
  return model;
}

std::vector<std::int64_t> output_shape(const onnx::ModelProto& model) {
  std::vector<std::int64_t> shape;
  for (const auto& dim : model.graph().output(0).type().tensor_type().shape().dim())
    shape.push_back(dim.dim_value());
  return shape;
}

std::string error_of(const OnnxGraph& graph) {
  onnx::ModelProto model = proto_of(graph);
  try {
    infer_shapes(model);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "no error";
}

TEST(InferShapes, InnerGraphsGetOnlyTheNamesThatTheyUse) {
  for (const int layers : {1, 20, 400}) {
    onnx::ModelProto model = proto_of(layers_of(layers));
    EXPECT_EQ(infer_shapes(model), static_cast<std::size_t>(2 * layers));  // x and w
    EXPECT_EQ(output_shape(model), (std::vector<std::int64_t>{4, 3}));
  }
}

TEST(InferShapes, InnermostGraphsSeeAllScopes) {
  OnnxGraph graph = layers_of(1);
  auto inner = std::make_shared<OnnxGraph>();
  inner->name = "inner";
  inner->outputs = {{"deep", {DType::f32, {4, 3}}}};
  inner->nodes = {
      {"Neg", "", "", {"x0"}, {"n"}, {}},
      {"If",
       "",
       "",
       {"flag"},
       {"deep"},
       {{"then_branch", branch("Add", "n", "w0", "p")}, {"else_branch", branch("Mul", "x0", "w0", "q")}}}};
  graph.nodes[0].attrs.pop_back();
  graph.nodes[0].attrs.emplace_back("else_branch", inner);
  onnx::ModelProto model = proto_of(graph);
  // x0, w0 and flag for the outer If; x0, w0 and n for the inner one.
  EXPECT_EQ(infer_shapes(model), 6U);
  EXPECT_EQ(output_shape(model), (std::vector<std::int64_t>{4, 3}));
  inner->nodes[0].outputs = {"m"};  // nobody makes n
  EXPECT_TRUE(contains(error_of(graph), "(op_type:Add)"));
}

TEST(InferShapes, ErrorsInInnerGraphsAreFound) {
  const std::string message = error_of(layers_of(50, 31, {5}));
  EXPECT_TRUE(contains(message, "layer31"));
  EXPECT_TRUE(contains(message, "Incompatible dimensions"));
}

}  // namespace
}  // namespace onnxport::serialize
