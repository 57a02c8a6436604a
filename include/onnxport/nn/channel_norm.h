/// Norms over the channels of images.
#pragma once

#include <cstdint>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// The norm of a layer, over the channels of each pixel. Keys: those of LayerNorm. (ConvNeXt's and SAM's
/// LayerNorm with channels first)
class ONNXPORT_API ChannelNorm {
 public:
  ChannelNorm(const Scope& s, std::int64_t channels, double eps) : norm_(s, channels, eps) {}
  /// [B, channels, H, W] -> the same
  Value operator()(Value image) const;

 private:
  LayerNorm norm_;
};

}  // namespace onnxport::nn
