/// The neck of dense predictions (Ranftl et al. 2021): hidden states of an encoder become images of several
/// sizes, which are fused from the last to the first.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {

/// Throws ExportError(bad_config | unsupported).
struct DptNeckConfig {
  explicit DptNeckConfig(const PretrainedConfig& config);

  std::int64_t fusion_hidden_size;
  std::vector<std::int64_t> neck_hidden_sizes;
  std::vector<double> reassemble_factors;
  std::string readout_type, hidden_act, origin;
  bool batch_norm, residual_bias;  ///< of the residual units
};

/// The results of an encoder.
struct DptStates {
  std::vector<Value> states;  ///< [B, 1 + rows * columns, hidden_size]: tokens; [B, C, H, W]: images
  std::int64_t hidden_size = 0;
  Dim rows, columns;
};

/// A convolution that keeps the size of the image.
nn::Conv2d dpt_conv3x3(const Scope& s, std::int64_t in, std::int64_t out, bool bias = true);
/// Twice the height and width.
Value dpt_upsample(Value x);

/// The result of each step of the fusion, [B, fusion_hidden_size, H', W']. Keys: reassemble_stage.{layers,
/// readout_projects}, convs, fusion_stage.layers. Throws ExportError(bad_config) for another number of states
/// than neck_hidden_sizes.
std::vector<Value> dpt_neck(const Scope& s, const DptNeckConfig& c, const DptStates& encoded);

}  // namespace onnxport::models
