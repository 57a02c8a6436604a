// `diff`: two files, node by node.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "onnx_model.h"
#include "onnxport/diff.h"
#include "run_program.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
constexpr std::int32_t kFloat = onnx::TensorProto::FLOAT;
constexpr std::int64_t kWidth = 32;  // weights of 4 kB, which a probe leaves in the file

onnx::NodeProto& named(onnx::NodeProto& node, const std::string& name) {
  node.set_name(name);
  return node;
}

class DiffNodes : public testing::Test {
 protected:
  // y = softmax(x W0 * scale) W1
  onnx::ModelProto layers(float scale = 1) const {
    onnx::ModelProto model = make_model();
    onnx::GraphProto& graph = *model.mutable_graph();
    set_value(*graph.add_input(), "x", kFloat, {3, kWidth});
    set_value(*graph.add_output(), "y", kFloat, {3, kWidth});
    add_tensor(graph, "layer.0.weight", {kWidth, kWidth}, first_);
    add_tensor(graph, "layer.1.weight", {kWidth, kWidth}, second_);
    add_tensor(graph, "scale", {}, {scale});
    named(add_node(graph, "MatMul", {"x", "layer.0.weight"}, "h"), "layer.0/MatMul");
    named(add_node(graph, "Mul", {"h", "scale"}, "scaled"), "layer.0/Mul");
    named(add_node(graph, "Softmax", {"scaled"}, "p"), "layer.0/Softmax");
    named(add_node(graph, "MatMul", {"p", "layer.1.weight"}, "y"), "layer.1/MatMul");
    return model;
  }

  NodesDiff diff(const onnx::ModelProto& a, const onnx::ModelProto& b,
                 NodeValues values = NodeValues::if_outputs_differ) const {
    write_model(a, a_);
    write_model(b, b_);
    const FileDiff result = diff_files(a_, b_, {.node_values = values});
    EXPECT_EQ(result.run_error, "");
    return result.nodes;
  }

  static std::vector<std::string> begins(const NodesDiff& nodes) {
    std::vector<std::string> names;
    for (const NodeValue& value : nodes.values) {
      if (value.begins) names.push_back(value.node);
    }
    return names;
  }

  TempFolder folder_;
  fs::path a_ = folder_.path() / "a.onnx", b_ = folder_.path() / "b.onnx";
  std::vector<float> first_ = some_floats(kWidth * kWidth, 1), second_ = some_floats(kWidth * kWidth, 2);
};

TEST_F(DiffNodes, TheSameFile) {
  NodesDiff nodes = diff(layers(), layers());
  EXPECT_EQ(nodes.count_a, 4U);
  EXPECT_EQ(nodes.same_name, 4U);
  EXPECT_TRUE(nodes.differing.empty());
  EXPECT_TRUE(nodes.values.empty());  // outputs agree
  nodes = diff(layers(), layers(), NodeValues::always);
  ASSERT_EQ(nodes.values.size(), 4U);
  EXPECT_TRUE(std::ranges::all_of(nodes.values, [](const NodeValue& one) { return one.comparison.passed; }));
  EXPECT_EQ(nodes.values[2].comparison.name, "p");
  EXPECT_EQ(nodes.case_name, "fixed sizes");
}

TEST_F(DiffNodes, FindsTheNodeThatBringsTheDifference) {
  const onnx::ModelProto a = layers();
  second_[7] += 1;
  const NodesDiff nodes = diff(a, layers());
  EXPECT_EQ(begins(nodes), (std::vector<std::string>{"layer.1/MatMul"}));
  const NodeValue& last = nodes.values.back();
  EXPECT_TRUE(last.reaches_output);
  EXPECT_GT(last.part, 1e-3);
  EXPECT_EQ(last.part_before, 0);
  EXPECT_TRUE(diff(a, layers(), NodeValues::never).values.empty());
}

TEST_F(DiffNodes, ADifferenceThatGoesAwayIsNotThatOfTheOutputs) {
  const onnx::ModelProto a = layers();
  // Another exporter divides the weight by the scale. Besides, the last weight differs.
  for (float& value : first_) value *= 2;
  second_[7] += 1;
  const NodesDiff nodes = diff(a, layers(0.5F));
  EXPECT_EQ(begins(nodes), (std::vector<std::string>{"layer.0/MatMul", "layer.1/MatMul"}));
  EXPECT_FALSE(nodes.values[0].reaches_output);
  EXPECT_TRUE(nodes.values[1].comparison.passed);
  EXPECT_TRUE(nodes.values[3].reaches_output);
  const ProgramResult printed = run_program({"diff", a_.string(), b_.string()});
  EXPECT_EQ(printed.status, 1);
  EXPECT_NE(printed.out.find("they part at layer.1/MatMul (MatMul): max difference"), std::string::npos)
      << printed.out;
}

TEST_F(DiffNodes, AttributesAndTheirDefaults) {
  onnx::ModelProto a = layers(), b = layers();
  set_int(*a.mutable_graph()->mutable_node(2), "axis", -1);  // the default
  EXPECT_TRUE(diff(a, b).differing.empty());
  set_int(*b.mutable_graph()->mutable_node(2), "axis", 0);
  const NodesDiff nodes = diff(a, b);
  ASSERT_EQ(nodes.differing.size(), 1U);
  EXPECT_EQ(nodes.differing[0].a, "layer.0/Softmax");
  EXPECT_EQ(nodes.differing[0].attributes, (std::vector<TextDiff>{{"axis", "-1", "0"}}));
  EXPECT_EQ(begins(nodes), (std::vector<std::string>{"layer.0/Softmax"}));
  write_model(a, b_);
  EXPECT_TRUE(diff_files(a_, b_).identical());
  write_model(b, b_);
  EXPECT_FALSE(diff_files(a_, b_, {.atol = 1e6}).identical());  // although the outputs agree
}

TEST_F(DiffNodes, NamesOfAnotherExporterAndOfFusedNodes) {
  onnx::ModelProto other = layers();
  onnx::GraphProto& graph = *other.mutable_graph();
  graph.mutable_node(0)->set_name("/layer.0/MatMul");
  graph.mutable_node(0)->set_output(0, "/layer.0/MatMul_output_0");
  graph.mutable_node(1)->set_input(0, "/layer.0/MatMul_output_0");
  graph.mutable_node(2)->set_name("fused_17");  // the result is still called p
  graph.mutable_node(3)->clear_name();
  const NodesDiff nodes = diff(layers(), other, NodeValues::always);
  EXPECT_EQ(nodes.same_name, 4U);
  EXPECT_TRUE(nodes.differing.empty());
  EXPECT_EQ(nodes.values.size(), 4U);
  EXPECT_TRUE(begins(nodes).empty());
}

TEST_F(DiffNodes, OtherOperatorsAndShapes) {
  onnx::ModelProto a = layers(), b = layers();
  b.mutable_graph()->mutable_node(2)->set_op_type("Relu");
  add_tensor(*b.mutable_graph(), "grown", {3, 1, kWidth}, some_floats(3 * kWidth, 5));
  b.mutable_graph()->mutable_node(1)->set_input(1, "grown");  // [3, 32] * [3, 1, 32] is [3, 3, 32]
  set_value(*b.mutable_graph()->mutable_output(0), "y", kFloat, {3, 3, kWidth});
  const NodesDiff nodes = diff(a, b);
  ASSERT_EQ(nodes.differing.size(), 3U);
  EXPECT_EQ(nodes.differing[0].results,
            (std::vector<TextDiff>{{"scaled", "float32[3, 32]", "float32[3, 3, 32]"}}));
  EXPECT_EQ(nodes.differing[1].op_b, "Relu");
  EXPECT_EQ(begins(nodes), (std::vector<std::string>{"layer.0/Mul"}));
  EXPECT_FALSE(nodes.values[1].comparison.passed);
}

TEST_F(DiffNodes, ManyValuesAndOneThatIsNoTensor) {
  const auto chain = [](float last) {
    onnx::ModelProto model = make_model();
    onnx::GraphProto& graph = *model.mutable_graph();
    set_value(*graph.add_input(), "x", kFloat, {2});
    set_value(*graph.add_output(), "y", kFloat, {2});
    add_tensor(graph, "half", {}, {0.5F});
    add_tensor(graph, "last", {}, {last});
    onnx::TensorProto& zero = *graph.add_initializer();
    zero.set_name("zero");
    zero.set_data_type(onnx::TensorProto::INT64);
    zero.add_int64_data(0);
    std::string value = "x";
    for (int i = 0; i < 60; ++i) {
      const std::string next = "v" + std::to_string(i);
      add_node(graph, "Add", {value, "half"}, next);
      value = next;
    }
    add_node(graph, "SequenceConstruct", {value, value}, "pair");
    add_node(graph, "SequenceAt", {"pair", "zero"}, "one");
    add_node(graph, "Mul", {"one", "last"}, "y");
    return model;
  };
  const NodesDiff nodes = diff(chain(1), chain(2));
  EXPECT_EQ(nodes.not_compared, 1U);
  ASSERT_EQ(nodes.values.size(), 62U);
  EXPECT_EQ(nodes.values[59].comparison.name, "v59");
  EXPECT_EQ(begins(nodes), (std::vector<std::string>{"y/node"}));
}

TEST_F(DiffNodes, ResultsOfModulesOfOtherOperators) {
  // B computes the last layer as a product and a sum.
  onnx::ModelProto b = layers();
  onnx::GraphProto& graph = *b.mutable_graph();
  named(*graph.mutable_node(3), "/layer.1/Product").set_output(0, "product");
  add_tensor(graph, "bias", {kWidth}, std::vector<float>(kWidth));
  named(add_node(graph, "Add", {"product", "bias"}, "sum"), "/layer.1/Add");
  named(add_node(graph, "Identity", {"sum"}, "y"), "/Identity");
  onnx::ModelProto a = layers();
  named(*a.mutable_graph()->mutable_node(3), "layer.1/MatMul").set_output(0, "last");
  named(add_node(*a.mutable_graph(), "Neg", {"last"}, "minus"), "Neg");
  named(add_node(*a.mutable_graph(), "Neg", {"minus"}, "y"), "Neg_1");
  NodesDiff nodes = diff(a, b, NodeValues::always);
  EXPECT_EQ(nodes.same_name, 4U);  // three of layer.0, and y
  EXPECT_EQ(nodes.same_module, 1U);
  ASSERT_EQ(nodes.values.size(), 5U);
  EXPECT_EQ(nodes.values[3].node, "layer.1/MatMul");
  onnx::ModelProto deeper = b;  // layer.1 now contains a module
  named(*deeper.mutable_graph()->mutable_node(3), "/layer.1/dense/Product");
  EXPECT_EQ(diff(a, deeper).same_module, 0U);
  EXPECT_TRUE(nodes.values[3].comparison.passed);
  second_[7] += 1;
  a.mutable_graph()->mutable_initializer(1)->set_raw_data(second_.data(), second_.size() * sizeof(float));
  nodes = diff(a, b);
  EXPECT_EQ(begins(nodes), (std::vector<std::string>{"layer.1/MatMul"}));
  EXPECT_TRUE(nodes.values[3].reaches_output);
}

TEST_F(DiffNodes, CodesAreNotComparedWithFloats) {
  // B quantizes the product: the node of that name returns integers, and the next one makes floats of them.
  onnx::ModelProto b = layers();
  onnx::GraphProto& graph = *b.mutable_graph();
  graph.mutable_node(1)->set_op_type("Cast");
  graph.mutable_node(1)->mutable_input()->RemoveLast();
  set_int(*graph.mutable_node(1), "to", onnx::TensorProto::INT8);
  graph.mutable_node(2)->set_op_type("Cast");
  set_int(*graph.mutable_node(2), "to", kFloat);
  const NodesDiff nodes = diff(layers(), b);
  EXPECT_EQ(nodes.not_compared, 1U);
  EXPECT_EQ(nodes.values.size(), 3U);
  EXPECT_EQ(begins(nodes), (std::vector<std::string>{"layer.0/Softmax"}));
  ASSERT_EQ(nodes.differing.size(), 2U);
  EXPECT_EQ(nodes.differing[0].results, (std::vector<TextDiff>{{"scaled", "float32[3, 32]", "int8[3, 32]"}}));
}

TEST_F(DiffNodes, NodesOfBranchesHavePlaces) {
  const auto branches = [](const char* op) {
    onnx::ModelProto model = make_model();
    onnx::GraphProto& graph = *model.mutable_graph();
    set_value(*graph.add_input(), "x", kFloat, {2});
    set_value(*graph.add_input(), "yes", onnx::TensorProto::BOOL, {1});
    set_value(*graph.add_output(), "y", kFloat, {2});
    add_node(graph, "Neg", {"x"}, "minus");
    onnx::NodeProto& choice = add_node(graph, "If", {"yes"}, "y");
    for (const char* name : {"then_branch", "else_branch"}) {
      onnx::AttributeProto& branch = *choice.add_attribute();
      branch.set_name(name);
      branch.set_type(onnx::AttributeProto::GRAPH);
      branch.mutable_g()->set_name(name);
      const std::string result = std::string(name) + "_y";
      set_value(*branch.mutable_g()->add_output(), result, kFloat, {2});
      named(add_node(*branch.mutable_g(), op, {"minus"}, result), "inner");
    }
    return model;
  };
  const NodesDiff nodes = diff(branches("Exp"), branches("Abs"));
  EXPECT_EQ(nodes.count_a, 4U);
  ASSERT_EQ(nodes.differing.size(), 2U);
  EXPECT_EQ(nodes.differing[0].a, "y/node/then_branch: inner");
  EXPECT_EQ(nodes.differing[0].op_b, "Abs");
  // The value that a branch takes from outside agrees, so the difference begins with the node that has the
  // branches.
  EXPECT_EQ(begins(nodes), (std::vector<std::string>{"y/node"}));
}

TEST_F(DiffNodes, AbsentOutputsAreNotAbsentInputs) {
  // The recurrence has no first output, and Clip no lower bound: no value goes from one to the other.
  const auto apart = [](float scale, float bound) {
    onnx::ModelProto model = make_model();
    onnx::GraphProto& graph = *model.mutable_graph();
    set_value(*graph.add_input(), "x", kFloat, {1, 1, 2});
    set_value(*graph.add_output(), "state", kFloat, {1, 1, 1});
    set_value(*graph.add_output(), "clipped", kFloat, {1, 1, 2});
    add_tensor(graph, "scale", {}, {scale});
    add_tensor(graph, "bound", {}, {bound});
    add_tensor(graph, "weight", {1, 1, 2}, {1, 1});
    add_tensor(graph, "recurrence", {1, 1, 1}, {1});
    add_node(graph, "Mul", {"x", "scale"}, "scaled");
    onnx::NodeProto& recurrence = add_node(graph, "RNN", {"scaled", "weight", "recurrence"}, "");
    recurrence.set_name("recurrence");
    recurrence.add_output("state");
    set_int(recurrence, "hidden_size", 1);
    add_node(graph, "Clip", {"x", "", "bound"}, "clipped");
    return model;
  };
  const NodesDiff nodes = diff(apart(1, -5), apart(2, -6));
  EXPECT_EQ(begins(nodes), (std::vector<std::string>{"scaled/node", "clipped/node"}));
}

TEST_F(DiffNodes, Json) {
  write_model(layers(), a_);
  second_[7] += 1;
  write_model(layers(), b_);
  const ProgramResult result = run_program({"diff", a_.string(), b_.string(), "--json"});
  EXPECT_EQ(result.status, 1);
  const auto nodes = parse_json<nlohmann::json>(result.out)["files"][0]["nodes"];
  EXPECT_EQ(nodes["same_name"], 4);
  ASSERT_EQ(nodes["values"].size(), 4U);
  EXPECT_EQ(nodes["values"][3]["node"], "layer.1/MatMul");
  EXPECT_TRUE(nodes["values"][3]["begins"].get<bool>());
  const ProgramResult without = run_program({"diff", a_.string(), b_.string(), "--json", "--no-nodes"});
  EXPECT_FALSE(parse_json<nlohmann::json>(without.out)["files"][0]["nodes"].contains("values"));
}

}  // namespace
}  // namespace onnxport::test
