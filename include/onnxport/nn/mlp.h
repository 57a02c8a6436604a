/// Feed-forward networks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// [B, S, H] -> [B, S, H]
using FeedForward = std::function<Value(Value)>;

/// down(activation(up(x)))
class ONNXPORT_API Mlp {
 public:
  Mlp(std::string path, Linear up, Linear down, const std::string& activation)
      : Mlp(std::move(path), std::move(up), std::move(down), Activation(activation)) {}
  Mlp(std::string path, Linear up, Linear down, std::function<Value(Value)> activation)
      : path_(std::move(path)),
        up_(std::move(up)),
        down_(std::move(down)),
        activation_(std::move(activation)) {}
  Value operator()(Value x) const;

 private:
  std::string path_;
  Linear up_, down_;
  std::function<Value(Value)> activation_;
};

struct GatedMlpParameters {
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::string activation = "silu";
  bool bias = false;
  /// Keys. `gate_up`: the first two as one.
  std::string gate = "gate_proj", up = "up_proj", down = "down_proj", gate_up = "gate_up_proj";
};

/// down(activation(gate(x)) * up(x)) (Shazeer 2020). Keys: gate_proj, up_proj, down_proj; or, where the first
/// two are one, gate_up_proj, down_proj; or those of the parameters.
class ONNXPORT_API GatedMlp {
 public:
  GatedMlp(const Scope& s, const GatedMlpParameters& p);
  Value operator()(Value x) const;

 private:
  std::string path_;
  std::vector<Linear> gate_up_;  // two, or one
  Linear down_;
  Activation activation_;
};

}  // namespace onnxport::nn
