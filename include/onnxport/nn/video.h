/// Shared parts of video models.
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/conv.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

struct VideoPatchesParameters {
  std::int64_t channels = 3;
  std::int64_t hidden_size = 0;
  std::int64_t frames = 2;  ///< of a patch
  KernelSize patch;         ///< of an image, in pixels
};

/// Patches of consecutive images as tokens: a convolution over frames, rows and columns, whose stride equals
/// its kernel. (Arnab et al. 2021, tubelet embedding) Keys: weight [hidden_size, channels, frames, height,
/// width], bias [hidden_size].
class ONNXPORT_API VideoPatches {
 public:
  VideoPatches(const Scope& s, const VideoPatchesParameters& p);
  /// Videos [B, F, channels, H, W] -> [B, tokens, hidden_size]: row by row in an image, one time after the
  /// other. What does not fill a patch is dropped.
  Value operator()(Value video) const;

 private:
  std::string path_;
  std::int64_t frames_;
  Conv2d projection_;
};

}  // namespace onnxport::nn
