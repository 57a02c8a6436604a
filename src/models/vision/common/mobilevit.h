/// Shared parts of MobileViT and MobileViTV2.
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/config.h"
#include "onnxport/nn/conv_layer.h"
#include "onnxport/scope.h"

namespace onnxport::models {

/// Settings that both have.
struct MobileViTConfig {
  std::int64_t num_channels, patch_size, conv_kernel_size, output_stride, num_labels;
  double expand_ratio, layer_norm_eps;
  std::string hidden_act;

  /// Throws ExportError(bad_config).
  explicit MobileViTConfig(const PretrainedConfig& c);

  /// A convolution with norm and activation.
  nn::ConvLayer layer(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel,
                      std::int64_t stride = 1, std::int64_t groups = 1) const;
  nn::InvertedResidual residual(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t stride,
                                std::int64_t dilation = 1) const;
  /// The residual that begins stage `stage`, 3 to 5. Its kernels are dilated if the image shall not shrink
  /// further.
  nn::InvertedResidual downsampling(const Scope& s, std::int64_t in, std::int64_t out, int stage) const;
};

}  // namespace onnxport::models
