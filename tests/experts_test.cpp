// Mixtures of experts: the op against a plain loop, the forms in which checkpoints have their weights, and
// the size of the lowered graph.
#include "onnxport/nn/experts.h"
#include "onnxport/expert_ops.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "errors.h"
#include "lower/lower.h"
#include "onnx/merge_decoders.h"
#include "onnxport/op.h"
#include "pipeline/lower_model.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

using Reals = std::vector<double>;
using Dims = std::vector<std::int64_t>;

constexpr std::int64_t kExperts = 3, kInner = 4, kWidth = 2, kRows = 5;

// Values of which no two are alike, around 0.
Reals values(std::int64_t count, double seed) {
  Reals result;
  for (std::int64_t i = 0; i < count; ++i) result.push_back(std::sin(seed + 1.7 * static_cast<double>(i)));
  return result;
}

struct Plain {
  Reals tokens = values(kRows * kWidth, 1), gate = values(kExperts * kInner * kWidth, 2),
        up = values(kExperts * kInner * kWidth, 3), down = values(kExperts * kWidth * kInner, 4);
  // The first row passes no expert, the last one all; the second expert has the fewest rows.
  Reals routing = {0, 0, 0, 0.5, 0, 0.5, 1, 0, 0, -0.25, 0, 2, 0.5, 0.75, 1};

  static double at(const Reals& x, std::int64_t i) { return x[static_cast<std::size_t>(i)]; }

  double row(const Reals& matrices, std::int64_t expert, std::int64_t i, std::int64_t r) const {
    double sum = 0;
    for (std::int64_t d = 0; d < kWidth; ++d)
      sum += at(matrices, (expert * kInner + i) * kWidth + d) * at(tokens, r * kWidth + d);
    return sum;
  }

  Reals result() const {
    Reals out(static_cast<std::size_t>(kRows * kWidth));
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t e = 0; e < kExperts; ++e) {
        for (std::int64_t i = 0; i < kInner; ++i) {
          const double g = row(gate, e, i, r);
          const double hidden = g / (1 + std::exp(-g)) * row(up, e, i, r);
          for (std::int64_t d = 0; d < kWidth; ++d) {
            out[static_cast<std::size_t>(r * kWidth + d)] +=
                at(routing, r * kExperts + e) * at(down, (e * kWidth + d) * kInner + i) * hidden;
          }
        }
      }
    }
    return out;
  }

  // Of each expert, its gate and then its up.
  Reals fused() const {
    Reals result;
    const std::int64_t size = kInner * kWidth;
    for (std::int64_t e = 0; e < kExperts; ++e) {
      for (const Reals* part : {&gate, &up})
        result.insert(result.end(), part->begin() + e * size, part->begin() + (e + 1) * size);
    }
    return result;
  }
};

void expect_near(const Reals& got, const Reals& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-12) << "element " << i;
}

void expect_refusal(ErrorCode code, const std::function<void()>& action,
                    const std::vector<std::string>& parts) {
  const std::string message = complaint(code, action);
  for (const std::string& part : parts) EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(MixtureOfExperts, MatchesAPlainLoop) {
  const Plain plain;
  for (const bool weights_are_inputs : {false, true}) {
    for (const bool fused : {false, true}) {
      Graph graph(DType::f64);
      reference::Case inputs;
      const auto value = [&](const char* name, Dims shape, const Reals& reals, bool input) {
        if (!input) return graph.weight(Weight::from_doubles(DType::f64, shape, reals, name));
        inputs.emplace_back(name, Tensor::from_doubles(DType::f64, shape, reals));
        return graph.input(name, {DType::f64, Shape(shape.begin(), shape.end())});
      };
      const Value x = value("x", {kRows, kWidth}, plain.tokens, true);
      const Value routing = value("routing", {kRows, kExperts}, plain.routing, true);
      const Dims one = {kExperts, kInner, kWidth}, both = {kExperts, 2 * kInner, kWidth};
      op::Experts experts;
      experts.gate =
          value("gate", fused ? both : one, fused ? plain.fused() : plain.gate, weights_are_inputs);
      if (!fused) experts.up = value("up", one, plain.up, weights_are_inputs);
      experts.down = value("down", {kExperts, kWidth, kInner}, plain.down, weights_are_inputs);
      graph.output("y", op::mixture_of_experts(x, routing, experts, "silu"));
      expect_near(reference::interpret(graph, {inputs})[0][0].reals, plain.result());
    }
  }
}

TEST(MixtureOfExperts, NeedsNoGate) {
  // relu(up)² is relu(gate) * up with the same weights.
  const Plain plain;
  const auto run = [&](bool plainly) {
    Graph graph(DType::f64);
    const Value x = graph.input("x", {DType::f64, {kRows, kWidth}});
    const Value routing = graph.input("routing", {DType::f64, {kRows, kExperts}});
    const auto weight = [&](const char* name, const Dims& shape, const Reals& reals) {
      return graph.weight(Weight::from_doubles(DType::f64, shape, reals, name));
    };
    op::Experts experts;
    experts.gate = weight("first", {kExperts, kInner, kWidth}, plain.gate);
    if (!plainly) experts.up = experts.gate;
    experts.down = weight("down", {kExperts, kWidth, kInner}, plain.down);
    graph.output("y", op::mixture_of_experts(x, routing, experts, plainly ? "relu2" : "relu"));
    return reference::interpret(
               graph,
               {{{"x", Tensor::from_doubles(DType::f64, {kRows, kWidth}, plain.tokens)},
                 {"routing", Tensor::from_doubles(DType::f64, {kRows, kExperts}, plain.routing)}}})[0][0]
        .reals;
  };
  expect_near(run(true), run(false));
}

TEST(MixtureOfExperts, RefusesWhatDoesNotFit) {
  Graph graph;
  int count = 0;
  const auto value = [&](Shape shape) {
    return graph.input(fmt::format("x{}", count++), {DType::f32, std::move(shape)});
  };
  const Value x = value({5, 2}), routing = value({5, 3}), gate = value({3, 4, 2}), down = value({3, 2, 4});
  const Value odd = value({3, 5, 2}), both = value({3, 8, 2}), few = value({2, 2, 4});
  const auto make = [&](Value g, Value u, Value d, const char* activation = "silu") {
    return [=] { op::mixture_of_experts(x, routing, {.gate = g, .up = u, .down = d}, activation); };
  };
  EXPECT_NO_THROW(make(gate, gate, down)());
  EXPECT_NO_THROW(make(both, {}, down)());
  EXPECT_NO_THROW(make(gate, {}, down)());  // without a gate
  expect_refusal(ErrorCode::shape, make(odd, {}, down), {"gate [3, 5, 2], up none and down [3, 2, 4]"});
  expect_refusal(ErrorCode::shape, make(gate, {}, down, "swiglu_oai"), {"needs a gate"});
  expect_refusal(ErrorCode::shape, make(gate, odd, down), {"up [3, 5, 2]"});
  expect_refusal(ErrorCode::shape, make(both, both, down), {"gate [3, 8, 2]"});
  expect_refusal(ErrorCode::shape, make(gate, gate, few), {"routing [5, 3]", "[2, 2, 4]"});
  expect_refusal(ErrorCode::shape, make(gate, gate, {}), {"operand 4 is missing"});
  EXPECT_NO_THROW(make(gate, {}, down, "relu2")());
  expect_refusal(ErrorCode::shape, make(gate, {}, down, "clamped_silu 7"), {"needs a gate"});
  for (const char* unlimited :
       {"clamped_silu 0", "clamped_silu -1", "clamped_silu inf", "clamped_silu 7,5", "clamped_silu"})
    expect_refusal(ErrorCode::shape, make(gate, gate, down, unlimited), {"clamped_silu and a limit"});
  const Value open = value({3, 2, Dim::symbol("F")});
  expect_refusal(ErrorCode::shape, make(gate, gate, open), {"[3, 2, F] has no fixed width"});
  expect_refusal(ErrorCode::shape, make(gate, gate, down, "tanh"), {"tanh", "silu, gelu, relu"});
}

// ---- weights of checkpoints ----

using Tensors = std::map<std::string, std::pair<Dims, Reals>>;

Reals part(const Reals& all, std::int64_t expert) {
  const auto size = static_cast<std::ptrdiff_t>(all.size()) / kExperts;
  return {all.begin() + expert * size, all.begin() + (expert + 1) * size};
}

nn::ExpertWeights read(const Tensors& tensors) {
  std::vector<StoredTensor> stored;
  for (const auto& [key, tensor] : tensors) {
    stored.push_back({{.key = key, .dtype = DType::f32, .shape = tensor.first},
                      Weight::from_doubles(DType::f32, tensor.first, tensor.second, key)});
  }
  auto checkpoint = std::make_shared<const Checkpoint>(std::move(stored), "test");
  auto accounting = std::make_shared<KeyAccounting>();
  const nn::ExpertWeights weights =
      nn::expert_weights(Scope(checkpoint, accounting, "mlp.experts"),
                         {.hidden_size = kWidth, .intermediate_size = kInner, .experts = kExperts});
  EXPECT_TRUE(accounting->unread(*checkpoint).empty());
  return weights;
}

Reals rounded(const Reals& x) {
  return {Tensor::from_doubles(DType::f32, {static_cast<std::int64_t>(x.size())}, x).to_doubles()};
}

TEST(ExpertWeights, AreStackedFromOneTensorForEach) {
  const Plain plain;
  Tensors tensors;
  for (std::int64_t e = 0; e < kExperts; ++e) {
    const auto key = [&](const char* name) { return fmt::format("mlp.experts.{}.{}.weight", e, name); };
    tensors[key("gate_proj")] = {{kInner, kWidth}, part(plain.gate, e)};
    tensors[key("up_proj")] = {{kInner, kWidth}, part(plain.up, e)};
    tensors[key("down_proj")] = {{kWidth, kInner}, part(plain.down, e)};
  }
  const nn::ExpertWeights weights = read(tensors);
  EXPECT_EQ(weights.gate.shape(), (Dims{kExperts, kInner, kWidth}));
  EXPECT_EQ(weights.down.shape(), (Dims{kExperts, kWidth, kInner}));
  EXPECT_EQ(weights.gate.name(), "mlp.experts.gate_proj.weight");
  EXPECT_EQ(weights.gate.to_doubles(), rounded(plain.gate));
  EXPECT_EQ(weights.up.to_doubles(), rounded(plain.up));
  EXPECT_EQ(weights.down.to_doubles(), rounded(plain.down));
}

TEST(ExpertWeights, StayStacked) {
  const Plain plain;
  const nn::ExpertWeights apart =
      read({{"mlp.experts.gate_proj.weight", {{kExperts, kInner, kWidth}, plain.gate}},
            {"mlp.experts.up_proj.weight", {{kExperts, kInner, kWidth}, plain.up}},
            {"mlp.experts.down_proj.weight", {{kExperts, kWidth, kInner}, plain.down}}});
  EXPECT_EQ(apart.gate.to_doubles(), rounded(plain.gate));
  EXPECT_EQ(apart.up.to_doubles(), rounded(plain.up));
  EXPECT_EQ(apart.down.to_doubles(), rounded(plain.down));
  const nn::ExpertWeights fused =
      read({{"mlp.experts.gate_up_proj", {{kExperts, 2 * kInner, kWidth}, plain.fused()}},
            {"mlp.experts.down_proj", {{kExperts, kWidth, kInner}, plain.down}}});
  EXPECT_EQ(fused.gate.to_doubles(), rounded(plain.fused()));
  EXPECT_FALSE(fused.up);
  EXPECT_EQ(fused.down.to_doubles(), rounded(plain.down));
}

// ---- lowering ----

Graph graph_of(std::int64_t experts, DType dtype = DType::f32) {
  Graph graph(dtype);
  const Dim rows = Dim::symbol("rows");
  const Value x = graph.input("x", {dtype, {rows, kWidth}});
  const Value routing = graph.input("routing", {dtype, {rows, experts}});
  const Value gate = graph.input("gate", {dtype, {experts, kInner, kWidth}});
  const Value up = graph.input("up", {dtype, {experts, kInner, kWidth}});
  const Value down = graph.input("down", {dtype, {experts, kWidth, kInner}});
  graph.output("y", op::mixture_of_experts(x, routing, {.gate = gate, .up = up, .down = down}, "silu"));
  return graph;
}

TEST(LoweredExperts, HaveAsManyNodesWhateverTheirNumber) {
  const auto count = [](std::int64_t experts) {
    return count_nodes(pipeline::lower_graph(graph_of(experts), {.opset = 18}));
  };
  EXPECT_EQ(count(2), count(47));
  EXPECT_LT(count(47), 40U);
  EXPECT_EQ(count(48), count(500));  // in groups
  EXPECT_LT(count(500), 80U);
}

TEST(LoweredExperts, KeepTheirWeightsOutOfTheBody) {
  const OnnxGraph graph = pipeline::lower_graph(graph_of(4), {.opset = 18});
  for (const OnnxNode& node : graph.nodes) {
    for (const auto& inner : graphs_of(node)) EXPECT_TRUE(inner->initializers.empty());
  }
}

TEST(LoweredExperts, NeedOpset16InBfloat16) {
  const auto lowered = [](int opset) {
    return [=] { pipeline::lower_graph(graph_of(2, DType::bf16), {.opset = opset}); };
  };
  expect_refusal(ErrorCode::unsupported, lowered(15), {"opset 16, got 15"});
  EXPECT_NO_THROW(lowered(16)());
}

void collect(const OnnxGraph& graph, std::multiset<std::string>& names) {
  for (const OnnxNode& node : graph.nodes) {
    names.insert(node.name);
    names.insert(node.outputs.begin(), node.outputs.end());
    for (const auto& inner : graphs_of(node)) {
      for (const OnnxValueInfo& input : inner->inputs) names.insert(input.name);
      collect(*inner, names);
    }
  }
}

TEST(LoweredExperts, HaveNamesOfTheirOwnInBothBranches) {
  const OnnxGraph one = pipeline::lower_graph(graph_of(2), {.opset = 18});
  const OnnxGraph merged = merge_decoders(one, one);
  std::multiset<std::string> names, before;
  collect(*graphs_of(merged.nodes.at(0)).at(0), names);
  collect(*graphs_of(merged.nodes.at(0)).at(1), names);
  collect(one, before);
  EXPECT_EQ(names.size(), 2 * before.size());
  for (const std::string& name : before) EXPECT_FALSE(names.contains(name)) << name;
  // A node and its first result share a name; nothing else does.
  for (const std::string& name : names) EXPECT_LE(names.count(name), 2U) << name;
}

}  // namespace
}  // namespace onnxport::test
