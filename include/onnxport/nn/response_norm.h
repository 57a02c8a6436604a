/// Global response normalization. (Woo et al. 2023, ConvNeXt V2)
#pragma once

#include "onnxport/export_macro.h"
#include "onnxport/graph.h"
#include "onnxport/weight.h"

namespace onnxport::nn {

/// Scales each channel by its norm over the whole image, relative to the mean of those of all channels:
/// x + x * relative * weight + bias. x [B, H, W, C]; weight, bias [C]. Sums of squares are computed in
/// float32. (timm's GlobalResponseNorm)
ONNXPORT_API Value global_response_norm(Value x, const Weight& weight, const Weight& bias, double eps = 1e-6);

}  // namespace onnxport::nn
