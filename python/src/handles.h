/// Configuration classes behind Python objects.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bind.h"
#include "onnxport/model.h"
#include "onnxport/onnx_config.h"
#include "onnxport/plan.h"

namespace onnxport::python {

/// A configuration class of the library, or one with other names and axes around it.
struct ConfigHandle {
  std::shared_ptr<const OnnxConfig> config;
};

/// What a Python class changes.
struct ConfigChanges {
  std::optional<AxesByName> inputs, outputs;
  std::optional<double> atol;
  std::optional<int> opset;
  std::map<std::string, std::string> origins = {};        ///< outputs that the definition calls otherwise
  std::map<std::string, std::string> input_origins = {};  ///< the same for inputs; not for those of a cache
};

/// The configuration with these changes. An output that has no origin, and no name of the definition, is the
/// one at its place.
std::shared_ptr<const OnnxConfig> changed(std::shared_ptr<const OnnxConfig> config, ConfigChanges changes);

/// The model for a changed configuration: its definition computes what `changed()` found, and the outputs get
/// the new names. The same model for another configuration.
Model model_for(const Model& model, const OnnxConfig& config);

/// A dict of sizes, with the names of the command line. Throws TypeError for unknown names.
DummyShapes shapes_from(const nb::dict& sizes);

/// "output-hidden-states", …
InterfaceOptions interface_options_from(const std::vector<std::string>& names);

}  // namespace onnxport::python
