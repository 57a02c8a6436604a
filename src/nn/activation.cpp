#include "onnxport/nn/activation.h"

#include <fmt/format.h>

#include <map>
#include <vector>

#include "onnxport/error.h"
#include "onnxport/nn/sound.h"
#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

Value gelu(Value x) { return op::gelu(x); }
Value gelu_tanh(Value x) { return op::gelu(x, "tanh"); }

Value gelu_10(Value x) { return op::clamp(op::gelu(x), -10, 10); }

Value relu2(Value x) {
  const Value positive = op::relu(x);
  return op::mul(positive, positive);
}

Value relu6(Value x) { return op::clamp(x, 0, 6); }

Value laplace(Value x) {
  const Value scaled = op::div(op::sub(x, 0.707107), 0.282095 * 1.4142135623730951);
  return op::mul(op::add(op::erf(scaled), 1.0), 0.5);
}

Value identity(Value x) { return x; }

using Function = Value (*)(Value);

const std::map<std::string, Function, std::less<>>& table() {
  static const std::map<std::string, Function, std::less<>> functions = {
      {"gelu", gelu},
      {"gelu_python", gelu},
      {"gelu_new", gelu_tanh},
      {"gelu_accurate", gelu_tanh},
      {"gelu_fast", gelu_tanh},
      {"gelu_pytorch_tanh", gelu_tanh},
      {"gelu_python_tanh", gelu_tanh},
      {"gelu_10", gelu_10},
      {"quick_gelu", [](Value x) { return op::quick_gelu(x); }},
      {"laplace", laplace},
      {"leaky_relu", [](Value x) { return leaky_relu(x); }},
      {"linear", identity},
      {"mish", [](Value x) { return op::mish(x); }},
      {"relu", [](Value x) { return op::relu(x); }},
      {"relu2", relu2},
      {"relu6", relu6},
      {"sigmoid", [](Value x) { return op::sigmoid(x); }},
      {"silu", [](Value x) { return op::silu(x); }},
      {"swish", [](Value x) { return op::silu(x); }},
      {"tanh", [](Value x) { return op::tanh(x); }},
  };
  return functions;
}

}  // namespace

Activation::Activation(std::string name) : name_(std::move(name)) {
  if (table().contains(name_)) return;
  std::vector<std::string> known;
  for (const auto& [key, function] : table()) known.push_back(key);
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("config.json asks for the activation '{}', expected one of {}", name_,
                                fmt::join(known, ", ")));
}

Value Activation::operator()(Value x) const { return table().find(name_)->second(x); }

}  // namespace onnxport::nn
