// What changes a graph's meaning before the passes: patching specs and cheaper functions.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "errors.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "reference/interpreter.h"
#include "transform/approximate_gelu.h"
#include "transform/patch.h"

namespace onnxport {
namespace {

using test::complaint;
using Values = std::vector<Value>;

std::size_t count(const Graph& graph, Op op, std::string_view path = {}) {
  return static_cast<std::size_t>(std::count_if(
      graph.nodes().begin(), graph.nodes().end(),
      [&](const Node& node) { return node.op == op && (path.empty() || node.path.starts_with(path)); }));
}

Weight matrix(const std::string& name) {
  return Weight::from_doubles(DType::f32, {2, 2}, std::vector<double>{0.5, -1, 2, 0.25}, name);
}

/// x + down(gelu(up(x))) in layers; the mask multiplies in each.
Graph layers(int number) {
  Graph graph;
  Value x = graph.input("x", {DType::f32, {Dim::symbol("B"), 2}});
  const Value mask = graph.input("mask", {DType::f32, {Dim::symbol("B"), 1}});
  for (int i = 0; i < number; ++i) {
    const std::string layer = "layer." + std::to_string(i);
    Value y;
    {
      const ModulePath at(graph, layer + ".ffn.up");
      y = op::linear(x, graph.weight(matrix(layer + ".ffn.up.weight")));
    }
    {
      const ModulePath at(graph, layer + ".ffn");
      y = op::mul(op::gelu(y), mask);
    }
    const ModulePath at(graph, layer);
    x = op::add(x, y);
  }
  graph.output("y", x);
  verify(graph);
  return graph;
}

std::vector<double> run(const Graph& graph) {
  const Tensor x = Tensor::from_doubles(DType::f32, {2, 2}, std::vector<double>{0.5, -1.5, 1, 2});
  const Tensor mask = Tensor::from_doubles(DType::f32, {2, 1}, std::vector<double>{1, 0.5});
  verify(graph);
  return reference::interpret(graph, {{{"x", x}, {"mask", mask}}})[0][0].reals;
}

const PatchingSpec kRelu = {.name = "relu", .op = "gelu", .replace = [](const PatchSite& site) -> Values {
                              return {op::relu(site.inputs[0])};
                            }};

TEST(Patch, NothingIsNothing) {
  Graph graph = layers(2);
  const std::string before = print(graph);
  EXPECT_EQ(print(transform::patch(std::move(graph), {})), before);
}

TEST(Patch, AnOpEverywhere) {
  const Graph patched = transform::patch(layers(2), {kRelu});
  EXPECT_EQ(count(patched, Op::gelu), 0U);
  EXPECT_EQ(count(patched, Op::relu, "layer.0.ffn"), 1U);  // under the path of the op
  EXPECT_EQ(count(patched, Op::relu, "layer.1.ffn"), 1U);
  EXPECT_NE(run(patched), run(layers(2)));
}

TEST(Patch, AnOpBelowAPath) {
  for (const char* path : {"layer.1", "layer.1.ffn", "*.1"}) {
    PatchingSpec spec = kRelu;
    spec.path = path;
    const Graph patched = transform::patch(layers(11), {spec});
    EXPECT_EQ(count(patched, Op::relu), 1U) << path;  // and not layer.10
    EXPECT_EQ(count(patched, Op::relu, "layer.1.ffn"), 1U) << path;
  }
  PatchingSpec each = kRelu;
  each.path = "layer.*";
  EXPECT_EQ(count(transform::patch(layers(3), {each}), Op::relu), 3U);
}

TEST(Patch, SeesOperandsAttributesAndTypesOfAnOp) {
  std::vector<std::string> paths;
  const PatchingSpec spec = {.name = "look", .op = "linear", .replace = [&](const PatchSite& site) -> Values {
                               paths.push_back(site.path);
                               EXPECT_EQ(site.inputs.size(), 3U);
                               EXPECT_EQ(site.inputs[1].node()->op, Op::weight);
                               EXPECT_FALSE(site.inputs[2]);
                               EXPECT_EQ(to_string(site.results.at(0)), "float32[B, 2]");
                               return {op::matmul(site.inputs[0], op::transpose(site.inputs[1], 0, 1))};
                             }};
  const Graph patched = transform::patch(layers(2), {spec});
  EXPECT_EQ(paths, (std::vector<std::string>{"layer.0.ffn.up", "layer.1.ffn.up"}));
  EXPECT_EQ(run(patched), run(layers(2)));
}

TEST(Patch, AModule) {
  // Written anew, with the module's own weights.
  std::vector<std::string> paths;
  const PatchingSpec spec = {
      .name = "feed-forward", .path = "layer.*.ffn", .replace = [&](const PatchSite& site) -> Values {
        paths.push_back(site.path);
        EXPECT_EQ(site.inputs.size(), 2U);  // x and the mask
        EXPECT_EQ(site.inputs[1].node()->name, "mask");
        EXPECT_EQ(site.weights.size(), 1U);
        EXPECT_EQ(site.weights[0].node()->weight.name(), site.path + ".up.weight");
        const Value up = op::linear(op::mul(site.inputs[0], 2.0), site.weights[0]);
        return {op::mul(site.inputs[1], op::relu(up))};
      }};
  const Graph patched = transform::patch(layers(2), {spec});
  EXPECT_EQ(paths, (std::vector<std::string>{"layer.0.ffn", "layer.1.ffn"}));
  EXPECT_EQ(count(patched, Op::gelu), 0U);
  EXPECT_EQ(count(patched, Op::linear), 2U);
  EXPECT_EQ(count(patched, Op::mul, "layer.1.ffn"), 2U);

  std::vector<double> expected = {0.5, -1.5, 1, 2};
  for (int layer = 0; layer < 2; ++layer) {
    for (std::size_t row = 0; row < 2; ++row) {
      double& a = expected[2 * row];
      double& b = expected[2 * row + 1];
      const double up[2] = {2 * (0.5 * a - b), 2 * (2 * a + 0.25 * b)};
      const double mask = row == 0 ? 1 : 0.5;
      a += mask * std::max(up[0], 0.0);
      b += mask * std::max(up[1], 0.0);
    }
  }
  EXPECT_EQ(run(patched), expected);
}

TEST(Patch, WeightsThatNobodyUsesAnyMoreAreDead) {
  const PatchingSpec spec = {
      .name = "none", .path = "layer.0.ffn", .replace = [](const PatchSite& site) -> Values {
        return {op::mul(site.inputs[0], 0.0)};
      }};
  const Graph patched = pass::remove_dead(transform::patch(layers(2), {spec}));
  EXPECT_TRUE(std::none_of(patched.nodes().begin(), patched.nodes().end(), [](const Node& node) {
    return node.op == Op::weight && node.weight.name() == "layer.0.ffn.up.weight";
  }));
  EXPECT_EQ(count(patched, Op::linear), 1U);
}

// A node between those of the module, which the module does not need, moves to where its operands are.
TEST(Patch, AModuleWhoseInputComesLater) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {Dim::symbol("B"), 2}});
  const Value mask = graph.input("mask", {DType::f32, {Dim::symbol("B"), 1}});
  Value inner, late;
  {
    const ModulePath at(graph, "m");
    inner = op::exp(x);
  }
  const Value outside = op::neg(inner);  // needs the module
  late = op::relu(mask);
  Value result;
  {
    const ModulePath at(graph, "m");
    result = op::mul(inner, late);
  }
  graph.output("y", op::add(result, outside));
  const std::vector<double> before = run(graph);
  const PatchingSpec spec = {.name = "m", .path = "m", .replace = [](const PatchSite& site) -> Values {
                               EXPECT_EQ(site.inputs.size(), 2U);
                               EXPECT_EQ(site.results.size(), 2U);
                               const Value first = op::exp(site.inputs[0]);
                               const Value product = op::mul(first, site.inputs[1]);
                               return {first, product};
                             }};
  EXPECT_EQ(run(transform::patch(std::move(graph), {spec})), before);
}

TEST(Patch, SpecsApplyInTheirOrder) {
  const PatchingSpec back = {.name = "back", .op = "relu", .replace = [](const PatchSite& site) -> Values {
                               return {op::gelu(site.inputs[0])};
                             }};
  EXPECT_EQ(run(transform::patch(layers(1), {kRelu, back})), run(layers(1)));
}

TEST(Patch, WantsTheSameTypes) {
  const auto refuse = [](const PatchingSpec& spec) {
    return complaint(ErrorCode::shape, [&] { transform::patch(layers(1), {spec}); });
  };
  PatchingSpec spec = {.name = "wrong", .op = "gelu", .replace = {}};
  spec.replace = [](const PatchSite& site) -> Values { return {op::unsqueeze(site.inputs[0], 0)}; };
  EXPECT_EQ(refuse(spec),
            "patching spec 'wrong' at 'layer.0.ffn': returns float32[1, B, 2], expected float32[B, 2]");
  spec.replace = [](const PatchSite& site) -> Values { return {op::cast(site.inputs[0], DType::f16)}; };
  EXPECT_NE(refuse(spec).find("returns float16[B, 2], expected float32[B, 2]"), std::string::npos);
  spec.replace = [](const PatchSite&) -> Values { return {}; };
  EXPECT_NE(refuse(spec).find("returns 0 values, expected 1"), std::string::npos);
  spec.replace = [](const PatchSite&) -> Values { return {Value()}; };
  EXPECT_NE(refuse(spec).find("returns an absent value"), std::string::npos);
  Graph other;
  const Value strange = other.input("x", {DType::f32, {Dim::symbol("B"), 2}});
  spec.replace = [&](const PatchSite&) -> Values { return {strange}; };
  EXPECT_NE(refuse(spec).find("returns a value of another graph"), std::string::npos);
  spec.op = "";
  spec.path = "layer.0.ffn";
  spec.replace = [](const PatchSite& site) -> Values { return {site.inputs[1]}; };
  EXPECT_EQ(refuse(spec),
            "patching spec 'wrong' at 'layer.0.ffn': returns float32[B, 1], expected float32[B, 2]");
}

TEST(Patch, WantsAMatch) {
  const auto refuse = [](const PatchingSpec& spec) {
    return complaint(ErrorCode::internal, [&] { transform::patch(layers(2), {spec}); });
  };
  PatchingSpec spec = kRelu;
  spec.op = "softmax";
  EXPECT_EQ(refuse(spec), "patching spec 'relu': matches nothing: there is no softmax");
  spec.op = "gelu";
  spec.path = "layer.2";
  EXPECT_NE(refuse(spec).find("matches nothing: there is no gelu at 'layer.2'; similar module paths are: "
                              "layer."),
            std::string::npos);
  spec.op = "";
  EXPECT_NE(refuse(spec).find("there is no module at 'layer.2'"), std::string::npos);
  spec.op = "Gelu";
  EXPECT_EQ(refuse(spec), "patching spec 'relu': 'Gelu' is not an op");
  spec.op = "weight";
  EXPECT_EQ(refuse(spec), "patching spec 'relu': 'weight' is not an op");
  spec.op = spec.path = "";
  EXPECT_EQ(refuse(spec), "patching spec 'relu': names neither a module path nor an op");
  spec.op = "gelu";
  spec.replace = {};
  EXPECT_EQ(refuse(spec), "patching spec 'relu': has no replacement");
}

TEST(Patch, WantsAModuleInOnePiece) {
  const PatchingSpec spec = {.name = "shared",
                             .path = "shared",
                             .replace = [](const PatchSite& site) -> Values { return {site.inputs[0]}; }};
  // A module that is called twice, with another between the calls, and in a row.
  for (const bool apart : {true, false}) {
    Graph graph;
    Value x = graph.input("x", {DType::f32, {Dim::symbol("B"), 2}});
    for (int i = 0; i < 2; ++i) {
      const ModulePath at(graph, "shared");
      x = op::linear(x, graph.weight(matrix("shared.weight")));
      if (!apart) continue;
      const ModulePath other(graph, "between");
      x = op::relu(x);
    }
    graph.output("y", x);
    EXPECT_EQ(complaint(ErrorCode::internal, [&] { transform::patch(std::move(graph), {spec}); }),
              "patching spec 'shared': 'shared' is called more than once, expected one call");
  }
  // No weights tell the calls apart, but a node between them does.
  Graph graph;
  Value x = graph.input("x", {DType::f32, {Dim::symbol("B"), 2}});
  for (const char* path : {"shared", "between", "shared"}) {
    const ModulePath at(graph, path);
    x = op::relu(x);
  }
  graph.output("y", x);
  EXPECT_EQ(
      complaint(ErrorCode::internal, [&] { transform::patch(std::move(graph), {spec}); }),
      "patching spec 'shared': 'shared' is not one piece: a node outside it takes its results and feeds it");
}

TEST(ApproximateGelu, TakesThePlaceOfEveryExactOne) {
  const Graph changed = transform::approximate_gelu(layers(2));
  EXPECT_EQ(count(changed, Op::gelu), 2U);
  for (const Node& node : changed.nodes()) {
    if (node.op == Op::gelu) EXPECT_EQ(node.attrs.get<std::string>("approximate"), "tanh");
  }
  const std::vector<double> exact = run(layers(2)), got = run(changed);
  double most = 0;
  for (std::size_t i = 0; i < got.size(); ++i) most = std::max(most, std::abs(got[i] - exact[i]));
  EXPECT_GT(most, 1e-6);  // another function
  EXPECT_LT(most, 5e-3);

  Graph graph;
  const Value x = graph.input("x", {DType::f32, {3}});
  graph.output("exact", op::gelu(x));
  graph.output("tanh", op::gelu(x, "tanh"));
  const auto outputs = reference::interpret(
      transform::approximate_gelu(std::move(graph)),
      {{{"x", Tensor::from_doubles(DType::f32, {3}, std::vector<double>{-1, 0.5, 2})}}})[0];
  EXPECT_EQ(outputs[0].reals, outputs[1].reals);
}

}  // namespace
}  // namespace onnxport
