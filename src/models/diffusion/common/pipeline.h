/// Pipelines of diffusion models: components of other definitions, each in a folder of its own.
#pragma once

#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/diffusion/common/text_encoder.h"

namespace onnxport::models {

struct PipelineFamily {
  std::string name;                  ///< of the type
  std::vector<std::string> classes;  ///< of diffusers, which have the same components
  TextInterface text = {};           ///< of its text encoders
};

/// Registers the pipelines of a family. The one task stands for all of them, which have the same components.
void register_pipelines(TasksManager& tasks, PipelineFamily family);

}  // namespace onnxport::models
