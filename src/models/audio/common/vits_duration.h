/// Durations of VITS: how long each token sounds. (Kim et al. 2021)
#pragma once

#include <cstdint>

#include "models/common/definition.h"

namespace onnxport::models {

struct VitsDurationConfig {
  std::int64_t hidden_size;
  // Of the stochastic predictor, whose flows turn noise into durations.
  std::int64_t flows, bins, layers, kernel;
  double tail_bound, noise_scale;
  // Of the other one.
  std::int64_t filters;
  double eps;
  bool stochastic;

  /// Throws ExportError(bad_config) for sizes with which it cannot be computed.
  explicit VitsDurationConfig(const PretrainedConfig& c);
};

/// The logarithm of the duration of each token, in frames: hidden [B, hidden_size, L], mask float [B, 1, L]
/// -> [B, 1, L]
Value vits_log_durations(const Scope& s, const VitsDurationConfig& c, Value hidden, Value mask);

/// x with the order of axis 1 reversed. (torch.flip)
Value flipped_channels(Value x);

}  // namespace onnxport::models
