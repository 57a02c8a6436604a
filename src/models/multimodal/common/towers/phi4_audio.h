/// The audio encoder of Phi-4 multimodal: a conformer whose convolutions see earlier frames only.
#pragma once

#include <cstdint>
#include <string>

#include "models/common/definition.h"

namespace onnxport::models {

struct Phi4Audio {
  std::int64_t hidden_size, inner, layers, heads, bins, halvings, front, kernel, chunk, left, distance;
  std::int64_t depthwise, separable, pointwise;  ///< channels of the convolutions
  bool symmetric;
  std::string activation, convolution_activation, gate_activation, front_activation;

  /// Throws ExportError(bad_config).
  explicit Phi4Audio(const PretrainedConfig& c);

  /// Frames -> states: halved so often, each time rounded up.
  Dim states(Dim frames) const;
  /// features [N, frames, bins] -> [N, states, hidden_size]. `real`: of several sounds, which states are not
  /// padding, bool [N, states].
  Value operator()(const Scope& s, Value features, Value real = {}) const;
};

}  // namespace onnxport::models
