/// Norms that some decoders have in place of nn::RmsNorm.
#pragma once

#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// x / sqrt(mean(x²) + eps), without a weight.
MakeNorm rms_norms_without_weight(double eps);

}  // namespace onnxport::models
