#include "onnxport/nn/lstm.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "onnxport/op.h"
#include "onnxport/recurrence.h"

namespace onnxport::nn {

Lstm::Lstm(const Scope& s, std::int64_t in, std::int64_t hidden, std::int64_t layers, bool bias)
    : path_(s.path()) {
  constexpr std::int64_t kMost = 1 << 24;
  if (in < 1 || hidden < 1 || hidden > kMost || layers < 1) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} layers of width {} after {} channels", path_, layers, hidden, in));
  }
  const auto key = [](const char* name, std::int64_t i) { return fmt::format("{}_l{}", name, i); };
  for (std::int64_t i = 0; i < layers; ++i) {
    Layer layer;
    layer.input_weight = s.weight(key("weight_ih", i), {4 * hidden, i == 0 ? in : hidden});
    layer.hidden_weight = s.weight(key("weight_hh", i), {4 * hidden, hidden});
    if (bias) {
      layer.input_bias = s.weight(key("bias_ih", i), {4 * hidden});
      layer.hidden_bias = s.weight(key("bias_hh", i), {4 * hidden});
    }
    layers_.push_back(std::move(layer));
  }
}

LstmStates Lstm::operator()(Value x, Value hidden, Value cell) const {
  const ModulePath at(x, path_);
  Graph& graph = x.graph();
  std::vector<Value> all_hidden, all_cell;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    op::LstmOperands o;
    o.x = x;
    o.input_weight = graph.weight(layer.input_weight);
    o.hidden_weight = graph.weight(layer.hidden_weight);
    if (layer.input_bias) {
      o.input_bias = graph.weight(layer.input_bias);
      o.hidden_bias = graph.weight(layer.hidden_bias);
    }
    if (hidden) {
      o.past_hidden = op::select(hidden, 0, static_cast<std::int64_t>(i));
      o.past_cell = op::select(cell, 0, static_cast<std::int64_t>(i));
    }
    const op::Lstm made = op::lstm(o);
    x = made.output;
    all_hidden.push_back(op::unsqueeze(made.hidden, 0));
    all_cell.push_back(op::unsqueeze(made.cell, 0));
  }
  const Value last = op::concat(std::move(all_hidden), 0);
  return {x, last, op::concat(std::move(all_cell), 0)};
}

}  // namespace onnxport::nn
