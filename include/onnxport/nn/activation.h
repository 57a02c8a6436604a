/// Activations by their names in config.json.
#pragma once

#include <string>

#include "onnxport/graph.h"

namespace onnxport::nn {

/// An activation of transformers' ACT2FN table (transformers 4.57.6, activations.py): gelu, gelu_new, relu,
/// silu, tanh, …
class ONNXPORT_API Activation {
 public:
  /// Throws ExportError(bad_config) that lists the known names if this one is unknown.
  explicit Activation(std::string name);
  Value operator()(Value x) const;

 private:
  std::string name_;
};

}  // namespace onnxport::nn
