// The parts of conformer layers, against plain loops over frames.
#include "onnxport/nn/conformer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

using Reals = std::vector<double>;

constexpr std::int64_t kFrames = 4, kWidth = 4, kHeads = 2, kHeadDim = 2;

double number(std::int64_t row, std::int64_t column) {
  return std::sin(1.3 + 1.7 * static_cast<double>(row) + 0.9 * static_cast<double>(column));
}

// Tensors of a checkpoint, made when they are described.
struct Stored {
  std::map<std::string, Reals> values = {};
  std::vector<StoredTensor> tensors = {};

  void add(const std::string& key, const std::vector<std::int64_t>& shape) {
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    Reals reals;
    for (std::int64_t i = 0; i < count; ++i)
      reals.push_back(number(i, static_cast<std::int64_t>(values.size())));
    if (key.ends_with("running_var"))
      for (double& real : reals) real = std::abs(real) + 0.5;
    values[key] = reals;
    tensors.push_back({{.key = "m." + key, .dtype = DType::f64, .shape = shape},
                       Weight::from_doubles(DType::f64, shape, reals, key)});
  }
  Scope scope() const {
    return {std::make_shared<const Checkpoint>(tensors, "test"), std::make_shared<KeyAccounting>(), "m"};
  }
};

struct Frames {
  Graph graph{DType::f64};
  Reals values = {};
  Value x = graph.input("x", {DType::f64, {1, kFrames, kWidth}});

  Frames() {
    for (std::int64_t i = 0; i < kFrames * kWidth; ++i) values.push_back(number(i, 17));
  }
  double at(std::int64_t frame, std::int64_t channel) const {
    return values[static_cast<std::size_t>(frame * kWidth + channel)];
  }
  Reals run(Value result) {
    graph.output("y", result);
    const Tensor frames = Tensor::from_doubles(DType::f64, {1, kFrames, kWidth}, values);
    return reference::interpret(graph, {{{"x", frames}}})[0].back().reals;
  }
};

void expect_near(const Reals& got, const Reals& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-5) << i;
}

// y = W x for each frame, with a weight [width, width].
std::vector<Reals> project(const Frames& frames, const Reals& weight) {
  std::vector<Reals> rows(kFrames, Reals(kWidth));
  for (std::int64_t f = 0; f < kFrames; ++f) {
    for (std::int64_t i = 0; i < kWidth; ++i) {
      for (std::int64_t j = 0; j < kWidth; ++j)
        rows[f][i] += weight[static_cast<std::size_t>(i * kWidth + j)] * frames.at(f, j);
    }
  }
  return rows;
}

// Attention in which score(head, query frame, key frame) is given, followed by the output projection.
template <class Score>
Reals attend(const std::vector<Reals>& values, const Reals& output, const Score& score) {
  Reals results;
  for (std::int64_t q = 0; q < kFrames; ++q) {
    Reals context(kWidth);
    for (std::int64_t head = 0; head < kHeads; ++head) {
      Reals shares;
      double total = 0;
      for (std::int64_t k = 0; k < kFrames; ++k) {
        shares.push_back(std::exp(score(head, q, k) / std::sqrt(static_cast<double>(kHeadDim))));
        total += shares.back();
      }
      for (std::int64_t k = 0; k < kFrames; ++k) {
        for (std::int64_t i = head * kHeadDim; i < (head + 1) * kHeadDim; ++i)
          context[i] += shares[k] / total * values[k][i];
      }
    }
    for (std::int64_t i = 0; i < kWidth; ++i) {
      double sum = 0;
      for (std::int64_t j = 0; j < kWidth; ++j)
        sum += output[static_cast<std::size_t>(i * kWidth + j)] * context[j];
      results.push_back(sum);
    }
  }
  return results;
}

nn::ConformerAttentionParameters parameters() {
  return {.projections = {.hidden_size = kWidth,
                          .heads = kHeads,
                          .query = "q",
                          .key = "k",
                          .value = "v",
                          .output = "o",
                          .bias = nn::QkvBias::none}};
}

Stored projections() {
  Stored stored;
  for (const char* key : {"q.weight", "k.weight", "v.weight", "o.weight"}) stored.add(key, {kWidth, kWidth});
  return stored;
}

TEST(ConformerAttention, VectorsOfDistances) {
  constexpr std::int64_t kLeft = 2, kRight = 1;
  Stored stored = projections();
  stored.add("distance_embedding.weight", {kLeft + 1 + kRight, kHeadDim});
  nn::ConformerAttentionParameters p = parameters();
  p.vectors = nn::DistanceVectors{.left = kLeft, .right = kRight};
  Frames frames;
  const nn::ConformerAttention attention(stored.scope(), p);
  const std::vector<Reals> q = project(frames, stored.values["q.weight"]),
                           k = project(frames, stored.values["k.weight"]);
  const Reals& table = stored.values["distance_embedding.weight"];
  const auto score = [&](std::int64_t head, std::int64_t query, std::int64_t key) {
    const std::int64_t row = std::clamp(key - query, -kLeft, kRight) + kLeft;
    double sum = 0;
    for (std::int64_t i = 0; i < kHeadDim; ++i) {
      const std::int64_t at = head * kHeadDim + i;
      sum += q[query][at] * (k[key][at] + table[static_cast<std::size_t>(row * kHeadDim + i)]);
    }
    return sum;
  };
  const Reals expected = attend(project(frames, stored.values["v.weight"]), stored.values["o.weight"], score);
  expect_near(frames.run(attention(frames.x, {})), expected);
}

TEST(ConformerAttention, TermsOfDistances) {
  Stored stored = projections();
  stored.add("linear_pos.weight", {kWidth, kWidth});
  stored.add("pos_bias_u", {kHeads, kHeadDim});
  stored.add("pos_bias_v", {kHeads, kHeadDim});
  nn::ConformerAttentionParameters p = parameters();
  p.terms.emplace();
  Frames frames;
  const nn::ConformerAttention attention(stored.scope(), p);
  const Value distances = nn::conformer_distances(frames.graph, kFrames, kWidth, DType::f64);
  const std::vector<Reals> q = project(frames, stored.values["q.weight"]),
                           k = project(frames, stored.values["k.weight"]);
  const Reals &u = stored.values["pos_bias_u"], &v = stored.values["pos_bias_v"],
              &w = stored.values["linear_pos.weight"];
  const auto score = [&](std::int64_t head, std::int64_t query, std::int64_t key) {
    Reals sinusoid;  // sines and cosines take turns
    for (std::int64_t pair = 0; pair < kWidth / 2; ++pair) {
      const double frequency = std::pow(10000.0, -2.0 * static_cast<double>(pair) / kWidth);
      const double angle = static_cast<double>(query - key) * frequency;
      sinusoid.insert(sinusoid.end(), {std::sin(angle), std::cos(angle)});
    }
    double sum = 0;
    for (std::int64_t i = head * kHeadDim; i < (head + 1) * kHeadDim; ++i) {
      double distance = 0;
      for (std::int64_t j = 0; j < kWidth; ++j)
        distance += w[static_cast<std::size_t>(i * kWidth + j)] * sinusoid[j];
      sum += (q[query][i] + u[i]) * k[key][i] + (q[query][i] + v[i]) * distance;
    }
    return sum;
  };
  const Reals expected = attend(project(frames, stored.values["v.weight"]), stored.values["o.weight"], score);
  expect_near(frames.run(attention(frames.x, {.distances = distances})), expected);
}

// The convolution with each kind of norm; frame 1 is padding.
void expect_convolution(const nn::ConformerConvParameters& p) {
  constexpr std::int64_t kPadding = 1;
  Stored stored;
  stored.add("pointwise_conv1.weight", {2 * kWidth, kWidth, 1});
  stored.add("depthwise_conv.weight", {kWidth, 1, p.kernel});
  stored.add("pointwise_conv2.weight", {kWidth, kWidth, 1});
  const std::string norm = p.layer_norm.empty() ? p.batch_norm : p.layer_norm;
  stored.add(norm + ".weight", {kWidth});
  stored.add(norm + ".bias", {kWidth});
  if (p.layer_norm.empty()) {
    stored.add(norm + ".running_mean", {kWidth});
    stored.add(norm + ".running_var", {kWidth});
  }
  Frames frames;
  const Value marks =
      frames.graph.weight(Weight::from_ints({1, kFrames, 1}, std::vector<std::int64_t>{0, kPadding, 0, 0}));
  const Value y = nn::ConformerConv(stored.scope(), p)(frames.x, op::eq(marks, 1.0));

  std::map<std::string, Reals>& w = stored.values;
  std::vector<Reals> gated(kFrames, Reals(kWidth)), mixed = gated;
  for (std::int64_t f = 0; f < kFrames; ++f) {
    for (std::int64_t i = 0; i < kWidth && f != kPadding; ++i) {
      double a = 0, b = 0;
      for (std::int64_t j = 0; j < kWidth; ++j) {
        a += w["pointwise_conv1.weight"][static_cast<std::size_t>(i * kWidth + j)] * frames.at(f, j);
        b += w["pointwise_conv1.weight"][static_cast<std::size_t>((i + kWidth) * kWidth + j)] *
             frames.at(f, j);
      }
      gated[f][i] = a / (1 + std::exp(-b));
    }
  }
  const std::int64_t before = p.causal ? p.kernel - 1 : p.kernel / 2;
  for (std::int64_t f = 0; f < kFrames; ++f) {
    for (std::int64_t i = 0; i < kWidth; ++i) {
      for (std::int64_t tap = 0; tap < p.kernel; ++tap) {
        const std::int64_t from = f + tap - before;
        if (from < 0 || from >= kFrames) continue;
        mixed[f][i] +=
            w["depthwise_conv.weight"][static_cast<std::size_t>(i * p.kernel + tap)] * gated[from][i];
      }
    }
  }
  Reals expected;
  for (Reals& frame : mixed) {
    double mean = 0, variance = 0;
    for (const double value : frame) mean += value / kWidth;
    for (const double value : frame) variance += (value - mean) * (value - mean) / kWidth;
    for (std::size_t i = 0; i < kWidth; ++i) {
      const bool batch = p.layer_norm.empty();
      const double middle = batch ? w[norm + ".running_mean"][i] : mean;
      const double spread = batch ? w[norm + ".running_var"][i] : variance;
      const double normed = (frame[i] - middle) / std::sqrt(spread + 1e-5);
      frame[i] = std::max(normed * w[norm + ".weight"][i] + w[norm + ".bias"][i], 0.0);
    }
    for (std::int64_t i = 0; i < kWidth; ++i) {
      double sum = 0;
      for (std::int64_t j = 0; j < kWidth; ++j)
        sum += w["pointwise_conv2.weight"][static_cast<std::size_t>(i * kWidth + j)] * frame[j];
      expected.push_back(sum);
    }
  }
  expect_near(frames.run(y), expected);
}

TEST(ConformerConv, AroundAFrameWithABatchNorm) {
  expect_convolution({.width = kWidth, .kernel = 3, .activation = "relu"});
}

TEST(ConformerConv, BeforeAFrameWithANormOfChannels) {
  expect_convolution(
      {.width = kWidth, .kernel = 3, .activation = "relu", .causal = true, .layer_norm = "norm"});
}

}  // namespace
}  // namespace onnxport::test
