#include "onnxport/nn/mlp.h"

#include "onnxport/op.h"

namespace onnxport::nn {

Value Mlp::operator()(Value x) const {
  const ModulePath at(x, path_);
  return down_(activation_(up_(x)));
}

namespace {

std::vector<Linear> gate_up(const Scope& s, const GatedMlpParameters& p) {
  if ((s / p.gate_up).exists())
    return {Linear(s / p.gate_up, p.hidden_size, 2 * p.intermediate_size, p.bias)};
  return {Linear(s / p.gate, p.hidden_size, p.intermediate_size, p.bias),
          Linear(s / p.up, p.hidden_size, p.intermediate_size, p.bias)};
}

}  // namespace

GatedMlp::GatedMlp(const Scope& s, const GatedMlpParameters& p)
    : path_(s.path()),
      gate_up_(gate_up(s, p)),
      down_(s / p.down, p.intermediate_size, p.hidden_size, p.bias),
      activation_(p.activation) {}

Value GatedMlp::operator()(Value x) const {
  const ModulePath at(x, path_);
  std::vector<Value> parts;
  if (gate_up_.size() == 1) {
    parts = op::chunk(gate_up_[0](x), -1, 2);
  } else {
    for (const Linear& linear : gate_up_) parts.push_back(linear(x));
  }
  const Value gate = activation_(parts[0]);
  return down_(op::mul(gate, parts[1]));
}

}  // namespace onnxport::nn
