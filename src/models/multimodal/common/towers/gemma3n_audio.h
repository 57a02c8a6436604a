/// The audio encoder of Gemma 3n.
#pragma once

#include <cstdint>

#include "models/audio/common/usm.h"
#include "models/common/definition.h"

namespace onnxport::models {

struct Gemma3nAudio {
  UsmConfig usm;
  std::int64_t bins, layers, reduction;
  std::vector<std::int64_t> channels;                       ///< of the two convolutions in front
  std::vector<std::vector<std::int64_t>> kernels, strides;  ///< of frames and bins
  double group_eps;

  /// Throws ExportError(bad_config).
  explicit Gemma3nAudio(const PretrainedConfig& c);

  /// features [B, frames, bins], and which frames are real, bool [B, frames] -> [B, tokens, hidden_size], 0
  /// where they are not, and which tokens are. Keys: subsample_conv_projection, conformer.
  UsmFrames operator()(const Scope& s, const UsmFrames& sounds) const;
};

}  // namespace onnxport::models
