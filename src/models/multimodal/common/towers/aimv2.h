/// Shared parts of AIMv2's towers.
#pragma once

#include <cstdint>
#include <string>

#include "models/common/definition.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {

/// Throws ExportError(bad_config).
struct Aimv2Config {
  explicit Aimv2Config(const PretrainedConfig& config);

  std::int64_t hidden_size, num_hidden_layers, num_attention_heads, intermediate_size;
  std::string hidden_act;
  double rms_norm_eps;
  bool qkv_bias, mlp_bias;

  nn::RmsNorm norm(const Scope& s) const { return {s, hidden_size, {.eps = rms_norm_eps}}; }
};

/// Attention and gated feed-forward with norms before them, and a norm at the end: x [B, S, H] -> the same.
/// `s`: of the tower. Keys: encoder.layers.{i}, rms_norm.
Value run_aimv2_layers(const Scope& s, const Aimv2Config& c, Value x, const op::AttentionMask& mask = {});

}  // namespace onnxport::models
