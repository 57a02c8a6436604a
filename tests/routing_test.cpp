// The parts of routers, against plain loops over tokens and experts; experts with biases; sinks.
#include "onnxport/nn/routing.h"
#include "onnxport/expert_ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "errors.h"
#include "onnxport/nn/latent_attention.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

using Row = std::vector<double>;
using Rows = std::vector<Row>;

constexpr std::size_t kExperts = 6;

// Logits of which no two are alike, of both signs.
Rows some_logits() {
  Rows rows(4, Row(kExperts));
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t e = 0; e < kExperts; ++e)
      rows[r][e] = 2 * std::sin(1.3 * static_cast<double>(r) + 2.1 * static_cast<double>(e));
  }
  return rows;
}

// What a routing makes of these logits: a row of weights for each token, one for each expert.
Rows run(const nn::Routing& routing, const Rows& logits = some_logits()) {
  Graph graph;
  const auto tokens = static_cast<std::int64_t>(logits.size());
  const auto experts = static_cast<std::int64_t>(kExperts);
  const Value x = graph.input("logits", {DType::f32, {tokens, experts}});
  graph.output("y", nn::routing_matrix(routing(x), kExperts));
  Row flat;
  for (const Row& row : logits) flat.insert(flat.end(), row.begin(), row.end());
  const auto made =
      reference::interpret(graph, {{{"logits", Tensor::from_doubles(DType::f32, {tokens, experts}, flat)}}});
  const Row& reals = made[0][0].reals;
  Rows rows;
  for (std::size_t i = 0; i < reals.size(); i += kExperts)
    rows.emplace_back(reals.begin() + static_cast<std::ptrdiff_t>(i),
                      reals.begin() + static_cast<std::ptrdiff_t>(i + kExperts));
  return rows;
}

void expect_close(const Rows& got, const Rows& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t r = 0; r < got.size(); ++r) {
    for (std::size_t e = 0; e < kExperts; ++e)
      EXPECT_NEAR(got[r][e], expected[r][e], 1e-6) << "token " << r << ", expert " << e;
  }
}

Row softmax(const Row& x) {
  Row result;
  double sum = 0;
  for (const double value : x) sum += std::exp(value);
  for (const double value : x) result.push_back(std::exp(value) / sum);
  return result;
}

Row sigmoid(const Row& x) {
  Row result;
  for (const double value : x) result.push_back(1 / (1 + std::exp(-value)));
  return result;
}

// Which elements are among the k largest.
std::vector<std::size_t> largest(const Row& x, std::size_t k) {
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] > x[b]; });
  order.resize(k);
  return order;
}

// The scores at these places, 0 elsewhere.
Row only(const Row& scores, const std::vector<std::size_t>& chosen) {
  Row result(scores.size());
  for (const std::size_t at : chosen) result[at] = scores[at];
  return result;
}

Row shared_out(Row weights, double least) {
  const double sum = std::max(std::accumulate(weights.begin(), weights.end(), 0.0), least);
  for (double& weight : weights) weight /= sum;
  return weights;
}

TEST(Routing, LargestScores) {
  Rows expected, normalized;
  for (const Row& row : some_logits()) {
    const Row scores = softmax(row);
    expected.push_back(only(scores, largest(scores, 2)));
    normalized.push_back(shared_out(expected.back(), 0));
  }
  const nn::Routing routing = nn::largest_scores(nn::softmax_scores, 2);
  expect_close(run(routing), expected);
  expect_close(run(nn::normalized(routing)), normalized);
}

TEST(Routing, ScoresOfTheLargestLogits) {
  Rows expected, sigmoids;
  for (const Row& row : some_logits()) {
    const std::vector<std::size_t> chosen = largest(row, 3);
    double sum = 0;
    for (const std::size_t at : chosen) sum += std::exp(row[at]);
    Row weights(kExperts);
    for (const std::size_t at : chosen) weights[at] = std::exp(row[at]) / sum;
    expected.push_back(weights);
    sigmoids.push_back(only(sigmoid(row), chosen));
  }
  expect_close(run(nn::scores_of_largest(3, nn::softmax_scores)), expected);
  expect_close(run(nn::scores_of_largest(3, op::sigmoid)), sigmoids);
}

TEST(Routing, ABiasChangesTheChoiceAlone) {
  const Row bias = {0.9, -0.5, 0, 0.3, 0, -0.9};
  Rows expected;
  for (const Row& row : some_logits()) {
    const Row scores = sigmoid(row);
    Row preferred = scores;
    for (std::size_t e = 0; e < kExperts; ++e) preferred[e] += bias[e];
    Row weights = shared_out(only(scores, largest(preferred, 2)), 1.5);
    for (double& weight : weights) weight *= 2.5;
    expected.push_back(weights);
  }
  const nn::Scores preference = nn::plus_bias(Weight::from_doubles(DType::f32, {kExperts}, bias));
  const nn::Routing routing = nn::normalized(nn::preferred_scores(op::sigmoid, preference, 2), 1.5);
  expect_close(run(nn::multiplied(routing, 2.5)), expected);
}

TEST(Routing, BestGroupsOfExperts) {
  for (const double outside : {0.0, -10.0}) {
    const nn::ExpertGroups groups{.count = 3, .kept = 1, .judged_by = 2, .outside = outside};
    Rows expected;
    for (const Row& row : some_logits()) {
      Row sums;
      for (std::size_t g = 0; g < 3; ++g) sums.push_back(row[2 * g] + row[2 * g + 1]);
      const std::size_t best = largest(sums, 1)[0];
      Row masked = row;
      for (std::size_t e = 0; e < kExperts; ++e) {
        if (e / 2 != best) masked[e] = outside;
      }
      expected.push_back(only(row, largest(masked, 2)));
    }
    const auto same = [](Value x) { return x; };
    const auto grouped = [groups](Value x) { return nn::within_best_groups(x, groups); };
    expect_close(run(nn::preferred_scores(same, grouped, 2)), expected);
  }
}

TEST(Routing, RefusesImpossibleNumbers) {
  const auto route = [](const nn::Routing& routing) { return [routing] { run(routing); }; };
  EXPECT_NE(complaint(ErrorCode::bad_config, route(nn::largest_scores(nn::softmax_scores, 7)))
                .find("7 experts per token of 6"),
            std::string::npos);
  const auto grouped = [](nn::ExpertGroups groups) {
    return [groups](Value x) { return nn::within_best_groups(x, groups); };
  };
  EXPECT_NE(complaint(ErrorCode::bad_config, route(nn::largest_scores(grouped({4, 2}), 2)))
                .find("6 experts in 4 groups"),
            std::string::npos);
  EXPECT_NE(complaint(ErrorCode::bad_config, route(nn::largest_scores(grouped({3, 4}), 2)))
                .find("4 groups of experts of 3"),
            std::string::npos);
}

TEST(Router, HasABias) {
  Graph graph;
  const Row weight = {1, 0, 0, 1, 1, 1, -1, 0, 0, -1, 2, 1}, bias = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6};
  const nn::Router router(nn::Linear("gate", Weight::from_doubles(DType::f32, {kExperts, 2}, weight),
                                     Weight::from_doubles(DType::f32, {kExperts}, bias)),
                          nn::scores_of_largest(1, [](Value x) { return x; }));
  EXPECT_EQ(router.experts(), 6);
  const Value x = graph.input("x", {DType::f32, {1, 2}});
  const nn::Routes routes = router(x);
  graph.output("values", routes.values);
  graph.output("indices", routes.indices);
  const Row token = {0.5, 0.25};
  const auto made = reference::interpret(graph, {{{"x", Tensor::from_doubles(DType::f32, {1, 2}, token)}}});
  EXPECT_NEAR(made[0][0].reals.at(0), 2 * 0.5 + 0.25 + 0.6, 1e-6);
  EXPECT_EQ(made[0][1].integers.at(0), 5);
}

// ---- ops that these decoders need ----

double at(const Row& x, std::size_t i) { return x.at(i); }

TEST(MixtureOfExperts, AddsBiasesAndBoundsItsActivation) {
  // One expert of two hidden elements; the second row is not routed to it. Values beyond the bounds of 7.
  const Row x = {3, -2, 1, 1}, gate = {4, 1, 0.5, 0.25}, up = {-5, 2, 1, 0}, down = {1, 2, -1, 0.5};
  const Row gate_bias = {0.5, -0.25}, up_bias = {1, 0.125}, down_bias = {0.5, -0.5}, routing = {2, 0};
  Graph graph(DType::f64);
  const auto value = [&](const Row& reals, std::vector<std::int64_t> shape) {
    return graph.weight(Weight::from_doubles(DType::f64, std::move(shape), reals));
  };
  const Value tokens = value(x, {2, 2}), shares = value(routing, {2, 1});
  op::Experts experts;
  experts.gate = value(gate, {1, 2, 2});
  experts.up = value(up, {1, 2, 2});
  experts.down = value(down, {1, 2, 2});
  experts.gate_bias = value(gate_bias, {1, 2});
  experts.up_bias = value(up_bias, {1, 2});
  experts.down_bias = value(down_bias, {1, 2});
  graph.output("y", op::mixture_of_experts(tokens, shares, experts, "swiglu_oai"));
  const Row got = reference::interpret(graph, {{}})[0][0].reals;
  Row hidden;
  for (std::size_t i = 0; i < 2; ++i) {
    const double g = std::min(at(gate, 2 * i) * x[0] + at(gate, 2 * i + 1) * x[1] + gate_bias[i], 7.0);
    const double u = std::clamp(at(up, 2 * i) * x[0] + at(up, 2 * i + 1) * x[1] + up_bias[i], -7.0, 7.0);
    hidden.push_back(g / (1 + std::exp(-1.702 * g)) * (u + 1));
  }
  for (std::size_t d = 0; d < 2; ++d) {
    const double made = at(down, 2 * d) * hidden[0] + at(down, 2 * d + 1) * hidden[1] + down_bias[d];
    EXPECT_NEAR(got.at(d), 2 * made, 1e-12);
    EXPECT_EQ(got.at(2 + d), 0);
  }
}

TEST(AttentionSinks, TakeAPartOfTheSoftmax) {
  // Two heads of one element, two tokens in order, of which the first is padding: it sees no key.
  const Row q = {1, 2, 0.5, -1}, k = {0.5, 1, -1, 2}, v = {3, 4, 5, 6}, sinks = {0.25, -0.5};
  Graph graph(DType::f64);
  const auto value = [&](const Row& reals, std::vector<std::int64_t> shape) {
    return graph.weight(Weight::from_doubles(DType::f64, std::move(shape), reals));
  };
  op::AttentionOperands in{
      .query = value(q, {1, 2, 2}), .key = value(k, {1, 2, 2}), .value = value(v, {1, 2, 2})};
  in.mask.causal = true;
  in.mask.no_keys = op::NoKeys::uniform;
  in.mask.padding = graph.weight(Weight::from_ints({1, 2}, std::vector<std::int64_t>{0, 1}));
  in.sinks = value(sinks, {2});
  graph.output("y", op::attention(in, 2, 2).output);
  const Row got = reference::interpret(graph, {{}})[0][0].reals;
  for (std::size_t h = 0; h < 2; ++h) {
    EXPECT_NEAR(got.at(h), 0, 1e-12);
    const double score = std::exp(q[2 + h] * k[2 + h]);
    EXPECT_NEAR(got.at(2 + h), score / (score + std::exp(sinks[h])) * v[2 + h], 1e-12);
  }
}

}  // namespace
}  // namespace onnxport::test
