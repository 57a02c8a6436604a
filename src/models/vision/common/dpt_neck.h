/// The neck of dense predictions (Ranftl et al. 2021): hidden states of an encoder become images of several
/// sizes, which are fused from the last to the first.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {

/// The size of the image after a step of the fusion.
enum class DptStep : std::uint8_t {
  twice,    ///< twice the size before
  to_next,  ///< that of the image that is added next; after the last step twice the size before
};

/// The settings of a residual unit.
struct DptUnit {
  std::int64_t width = 0;
  bool batch_norm = false, bias = true;
  double eps = 1e-5;  ///< of the norms
};

/// x + convolution2(relu(convolution1(relu(x)))), with batch norms after the convolutions if asked for. Keys:
/// convolution1, batch_norm1, convolution2, batch_norm2.
Value dpt_residual_unit(const Scope& s, const DptUnit& unit, Value x);

/// Throws ExportError(bad_config | unsupported).
struct DptNeckConfig {
  explicit DptNeckConfig(const PretrainedConfig& config);
  /// For classes without the settings of readout and residual units: the class token is ignored, the units
  /// have biases and no norms.
  DptNeckConfig(const PretrainedConfig& config, DptStep step);

  std::int64_t fusion_hidden_size;
  std::vector<std::int64_t> neck_hidden_sizes;
  std::vector<double> reassemble_factors;
  std::string readout_type = "ignore", hidden_act = "gelu", origin;
  DptUnit unit;
  DptStep step = DptStep::twice;
};

/// The results of an encoder.
struct DptStates {
  std::vector<Value> states;  ///< [B, 1 + rows * columns, hidden_size]: tokens; [B, C, H, W]: images
  std::int64_t hidden_size = 0;
  Dim rows, columns;
};

/// The result of the fusion that the head takes: head_in_index, which may count from the end. Throws
/// ExportError(bad_config) if there is none.
Value dpt_head_input(const PretrainedConfig& config, const std::vector<Value>& fused);

/// A convolution that keeps the size of the image.
nn::Conv2d dpt_conv3x3(const Scope& s, std::int64_t in, std::int64_t out, bool bias = true);
/// Twice the height and width.
Value dpt_upsample(Value x);

/// What a step of the fusion does to its image before it changes the size, for the scope of the step.
using DptBeforeResizing = std::function<Value(const Scope& layer, Value image)>;

/// The states as images [B, fusion_hidden_size, H', W']. Keys: reassemble_stage.{layers, readout_projects},
/// convs. Throws ExportError(bad_config) for another number of states than neck_hidden_sizes.
std::vector<Value> dpt_images(const Scope& s, const DptNeckConfig& c, const DptStates& encoded);
/// The result of each step of the fusion, from the last image to the first. Keys: fusion_stage.layers.
std::vector<Value> dpt_fusion(const Scope& s, const DptNeckConfig& c, std::vector<Value> images,
                              const DptBeforeResizing& before_resizing = {});
/// Both, one after the other.
std::vector<Value> dpt_neck(const Scope& s, const DptNeckConfig& c, const DptStates& encoded,
                            const DptBeforeResizing& before_resizing = {});

}  // namespace onnxport::models
