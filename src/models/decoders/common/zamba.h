/// Shared parts of the Zamba types.
#pragma once

#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"

namespace onnxport::models {

/// x + mamba(norm(x)).
nn::Block zamba_block(nn::Norm norm, nn::Mixer mamba);
/// x + mamba(norm(x + linear(transformer(x)))).
nn::Block zamba_hybrid_block(nn::Norm norm, nn::Mixer mamba, nn::Mixer transformer, const nn::Linear& linear);

}  // namespace onnxport::models
