#include "models/vision/common/mobilevit.h"

#include <fmt/format.h>

#include <cmath>

#include "models/common/config_numbers.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"

namespace onnxport::models {

MobileViTConfig::MobileViTConfig(const PretrainedConfig& c)
    : num_channels(c.integer("num_channels")),
      patch_size(moderate(c, "patch_size")),
      conv_kernel_size(moderate(c, "conv_kernel_size")),
      output_stride(c.integer("output_stride")),
      num_labels(c.num_labels()),
      expand_ratio(c.real("expand_ratio")),
      layer_norm_eps(c.real("layer_norm_eps")),
      hidden_act(c.string("hidden_act")) {
  c.harmless({"image_size"});  // any size works
  if (is_positive_below(expand_ratio, 1000)) return;
  throw ExportError(ErrorCode::bad_config, fmt::format("{}: expand_ratio is {}, expected a positive number",
                                                       c.origin(), expand_ratio));
}

nn::ConvLayer MobileViTConfig::layer(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel,
                                     std::int64_t stride, std::int64_t groups) const {
  return {
      s,
      {.in = in, .out = out, .kernel = kernel, .stride = stride, .groups = groups, .activation = hidden_act}};
}

nn::InvertedResidual MobileViTConfig::residual(const Scope& s, std::int64_t in, std::int64_t out,
                                               std::int64_t stride, std::int64_t dilation) const {
  const double wide = std::nearbyint(static_cast<double>(in) * expand_ratio);
  return {s,
          {.in = in,
           .inner = round_channels(wide, 8, 8),
           .out = out,
           .stride = stride,
           .dilation = dilation,
           .activation = hidden_act}};
}

nn::InvertedResidual MobileViTConfig::downsampling(const Scope& s, std::int64_t in, std::int64_t out,
                                                   int stage) const {
  const int dilated_from = output_stride == 8 ? 4 : output_stride == 16 ? 5 : 6;
  if (stage < dilated_from) return residual(s, in, out, 2);
  return residual(s, in, out, 1, std::int64_t{1} << (stage - dilated_from));
}

}  // namespace onnxport::models
