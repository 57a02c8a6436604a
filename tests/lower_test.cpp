// Every op of the table, lowered at every opset, run by ONNX Runtime and compared with the
// interpreter.
#include "lower/lower.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "onnxport/error.h"
#include "onnxport/op.h"
#include "onnxport/validate.h"
#include "op_samples.h"
#include "pipeline/lower_model.h"
#include "reference/interpreter.h"
#include "runtime/session.h"
#include "serialize/writer.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

// Every opset, and the contrib operators.
std::vector<lower::Target> targets() {
  std::vector<lower::Target> all;
  for (int opset = lower::oldest_opset; opset <= runtime::newest_opset; ++opset)
    all.push_back({.opset = opset});
  all.push_back({.opset = 11, .runtime = lower::Runtime::ort});
  all.push_back({.opset = 18, .runtime = lower::Runtime::ort});
  all.push_back({.opset = 18, .runtime = lower::Runtime::ort, .group_query = lower::GroupQuery::any_padding});
  all.push_back({.opset = 23, .runtime = lower::Runtime::ort});
  return all;
}

// Values in [-4, 4): floats in steps that half precision holds exactly, integers, and both booleans.
Tensor random_tensor(DType dtype, const std::vector<std::int64_t>& shape, std::uint64_t& state) {
  std::vector<double> values;
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  for (std::int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    const auto step = static_cast<double>(state >> 55) / 64.0 - 4.0;  // 9 bits
    values.push_back(is_float(dtype)           ? step
                     : dtype == DType::boolean ? static_cast<double>(step > 0)
                                               : std::floor(step));
  }
  if (is_float(dtype)) return Tensor::from_doubles(dtype, shape, values);
  const std::vector<std::int64_t> integers(values.begin(), values.end());
  return Tensor::from_ints(dtype, shape, integers);
}

reference::Case random_case(const Graph& graph, const DimBindings& bindings, std::uint64_t seed) {
  reference::Case result;
  for (const auto& [name, value] : graph.inputs()) {
    std::vector<std::int64_t> shape;
    for (const Dim& dim : value.shape()) shape.push_back(dim.evaluate(bindings));
    result.emplace_back(name, random_tensor(value.dtype(), shape, seed));
  }
  return result;
}

class Lowering : public testing::TestWithParam<OpSample> {};

// Extents of the samples' symbols. The CPU kernel of GroupQueryAttention takes several new tokens behind a
// past only for a batch of one.
std::vector<DimBindings> extents_for(const lower::Target& target) {
  if (target.group_query != lower::GroupQuery::never)
    return {{{"N", 1}, {"M", 5}}, {{"N", 1}, {"M", 1}}, {{"N", 3}, {"M", 1}}};
  return {{{"N", 2}, {"M", 5}}, {{"N", 1}, {"M", 1}}, {{"N", 3}, {"M", 8}}};
}

std::string in_words(const lower::Target& target) {
  return fmt::format("opset {}{}{}", target.opset, target.runtime == lower::Runtime::ort ? ", ort" : "",
                     target.group_query != lower::GroupQuery::never ? ", gqa" : "");
}

TEST_P(Lowering, MatchesTheInterpreterForEveryTarget) {
  const OpSample& sample = GetParam();
  Graph graph(is_float(sample.dtype) ? sample.dtype : DType::f32);
  sample.build(graph);
  verify(graph);
  std::map<std::vector<DimBindings>,
           std::pair<std::vector<reference::Case>, std::vector<std::vector<reference::HostTensor>>>>
      known;
  const double atol = sample.dtype == DType::f16 ? 4e-3 : 2e-6;

  for (const lower::Target& target : targets()) {
    SCOPED_TRACE(in_words(target));
    auto& [cases, expected] = known[extents_for(target)];
    if (cases.empty()) {
      for (const DimBindings& extents : extents_for(target))
        cases.push_back(random_case(graph, extents, cases.size() + 1));
      expected = reference::interpret(graph, cases);
    }
    Graph copy(graph.float_dtype());
    sample.build(copy);
    const TempFolder folder;
    const std::filesystem::path file = folder.path() / "op.onnx";
    serialize::write_model(pipeline::lower_graph(std::move(copy), target), file);
    const runtime::Session session(file, {.intra_op_threads = 1});
    for (std::size_t i = 0; i < cases.size(); ++i) {
      NamedTensors inputs;
      for (const auto& [name, tensor] : cases[i]) inputs.emplace_back(name, tensor);
      const NamedTensors got = session.run(inputs);
      ASSERT_EQ(got.size(), 1U);
      const Tensor reference = reference::to_tensor(expected[i][0]);
      EXPECT_EQ(got[0].second.dtype, reference.dtype);
      const OutputComparison comparison = compare_outputs("y", got[0].second, reference, atol);
      EXPECT_EQ(comparison.shape, comparison.reference_shape) << "case " << i;
      EXPECT_TRUE(comparison.passed) << "case " << i << ": max difference " << comparison.max_difference
                                     << ", tolerance " << comparison.tolerance << "\n"
                                     << print(graph);
    }
  }
}

std::string sample_name(const testing::TestParamInfo<OpSample>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Table, Lowering, testing::ValuesIn(op_samples()), sample_name);

TEST(OpTable, EveryOpHasASample) {
  std::set<Op> covered;
  for (const OpSample& sample : op_samples()) covered.insert(sample.op);
  for (const Op op : all_ops())
    EXPECT_TRUE(covered.contains(op)) << to_string(op) << " has no sample in op_samples.cpp";
}

TEST(OpTable, SamplesHoldTheirOp) {
  for (const OpSample& sample : op_samples()) {
    Graph graph;
    sample.build(graph);
    const bool held = std::any_of(graph.nodes().begin(), graph.nodes().end(),
                                  [&](const Node& node) { return node.op == sample.op; });
    EXPECT_TRUE(held) << sample.name;
  }
}

TEST(Lower, RefusesAnOldOpset) {
  Graph graph;
  graph.output("y", op::relu(graph.input("x", {DType::f32, {Dim::symbol("N")}})));
  try {
    lower::lower(graph, {.opset = 10});
    FAIL();
  } catch (const ExportError& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(error.what()).find("opset 10"), std::string::npos) << error.what();
  }
}

TEST(Lower, HalfPrecisionRotatesAxesWithOneMore) {
  const auto ops = [](DType dtype, const std::vector<std::int64_t>& axes) {
    Graph graph(dtype);
    const Value x = graph.input("x", {dtype, {Dim::symbol("N"), 2, 4}});
    graph.output("y", op::permute(x, axes));
    std::vector<std::string> types;
    for (const auto& node : lower::lower(graph, {}).nodes) types.push_back(node.op_type);
    return types;
  };
  using Types = std::vector<std::string>;
  EXPECT_EQ(ops(DType::f16, {1, 2, 0}), (Types{"Unsqueeze", "Transpose", "Squeeze"}));
  EXPECT_EQ(ops(DType::bf16, {1, 2, 0}), (Types{"Unsqueeze", "Transpose", "Squeeze"}));
  EXPECT_EQ(ops(DType::f32, {1, 2, 0}), Types{"Transpose"});
  EXPECT_EQ(ops(DType::f16, {1, 0, 2}), Types{"Transpose"});
  EXPECT_EQ(ops(DType::f16, {0, 2, 1}), Types{"Transpose"});
}

TEST(Lower, AnOutputThatIsAnInputOrAnotherOutputIsCopied) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {Dim::symbol("N")}});
  const Value y = op::relu(x);
  graph.output("same", x);
  graph.output("first", y);
  graph.output("second", y);
  const OnnxGraph lowered = lower::lower(graph, {});
  std::vector<std::string> ops;
  for (const auto& node : lowered.nodes) ops.push_back(node.op_type);
  EXPECT_EQ(ops, (std::vector<std::string>{"Relu", "Identity", "Identity"}));
}

TEST(Lower, PartsOfShapesAreComputedOnce) {
  Graph graph;
  const Dim length = Dim::symbol("length");
  const Value x = graph.input("x", {DType::f32, {length}});
  const Dim half = length.floor_div(2);
  graph.output("half", op::slice(x, 0, 0, half));
  graph.output("half_and_more", op::slice(x, 0, 0, half + 1));
  graph.output("ids", op::arange(graph, 3 * half));
  const OnnxGraph lowered = lower::lower(graph, {});
  const auto divisions = std::count_if(lowered.nodes.begin(), lowered.nodes.end(),
                                       [](const auto& n) { return n.op_type == "Div"; });
  EXPECT_EQ(divisions, 1);
}

TEST(Lower, ASymbolInsideASumIsSolvedFor) {
  Graph graph;
  const Dim past = Dim::symbol("past");
  const Dim length = Dim::symbol("length");
  graph.input("ids", {DType::i64, {length}});
  const Value mask = graph.input("mask", {DType::i64, {past + length}});
  graph.output("y", op::slice(mask, 0, past, past + length));
  const TempFolder folder;
  serialize::write_model(lower::lower(graph, {}), folder.path() / "m.onnx");
  const runtime::Session session(folder.path() / "m.onnx");
  const std::vector<std::int64_t> ids = {7, 7};
  const std::vector<std::int64_t> values = {1, 2, 3, 4, 5};
  const NamedTensors got = session.run({{"ids", Tensor::from_ints(DType::i64, {2}, ids)},
                                        {"mask", Tensor::from_ints(DType::i64, {5}, values)}});
  EXPECT_EQ(got[0].second.to_ints(), (std::vector<std::int64_t>{4, 5}));
}

TEST(Lower, ASymbolInsideAProductIsSolvedFor) {
  Graph graph;
  const Dim images = Dim::symbol("images"), queries = Dim::symbol("queries");
  const Value texts = graph.input("texts", {DType::i64, {images * queries}});
  graph.input("pixels", {DType::i64, {images}});
  graph.output("y", op::reshape(texts, {images, queries}));
  graph.output("numbers", op::arange(graph, queries));
  const TempFolder folder;
  serialize::write_model(lower::lower(graph, {}), folder.path() / "m.onnx");
  const runtime::Session session(folder.path() / "m.onnx");
  const std::vector<std::int64_t> pixels = {7, 7};
  const std::vector<std::int64_t> values = {1, 2, 3, 4, 5, 6};
  const NamedTensors got = session.run({{"texts", Tensor::from_ints(DType::i64, {6}, values)},
                                        {"pixels", Tensor::from_ints(DType::i64, {2}, pixels)}});
  EXPECT_EQ(got[0].second.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(got[1].second.to_ints(), (std::vector<std::int64_t>{0, 1, 2}));
}

TEST(Lower, AProductOfTwoUnknownSymbolsIsNot) {
  Graph graph;
  const Dim images = Dim::symbol("images"), queries = Dim::symbol("queries");
  const Value texts = graph.input("texts", {DType::i64, {images * queries}});
  graph.output("y", op::reshape(texts, {images, queries}));
  graph.output("numbers", op::arange(graph, queries));
  EXPECT_THROW(lower::lower(graph, {}), ExportError);
}

}  // namespace
}  // namespace onnxport::test
