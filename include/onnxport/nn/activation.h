/// Activations by the names that config.json uses.
#pragma once

#include <string>

#include "onnxport/graph.h"

namespace onnxport::nn {

/// An activation of transformers' ACT2FN table (transformers 4.57.6, activations.py): gelu, gelu_new, relu,
/// silu, tanh, …
class ONNXPORT_API Activation {
 public:
  /// Throws ExportError(bad_config) for an unknown name, listing the known ones.
  explicit Activation(std::string name);
  Value operator()(Value x) const;

 private:
  std::string name_;
};

}  // namespace onnxport::nn
