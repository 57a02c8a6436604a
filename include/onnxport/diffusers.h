/// Pipelines of the library diffusers: model_index.json, and the components that it names.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/export_macro.h"
#include "onnxport/tasks_manager.h"

namespace onnxport {

/// The definition of a class of diffusers (`ModelDefinition::modules`), a pipeline or a component; null if
/// there is none.
ONNXPORT_API std::shared_ptr<const ModelDefinition> find_diffusers_class(const TasksManager& tasks,
                                                                         std::string_view class_name);

/// The components of a pipeline that an export contains, in Optimum's order: those of text_encoder,
/// text_encoder_2, text_encoder_3, unet, transformer and vae that `config` has. `config` is that of the whole
/// pipeline, in which each component has the content of its own config.json.
ONNXPORT_API std::vector<std::string> components_of(const PretrainedConfig& config);

/// The architecture of a component, by `_class_name`, or for a text encoder of transformers by its
/// model_type. Throws ExportError(unsupported) that names the class, and those that are supported.
ONNXPORT_API std::shared_ptr<const ModelDefinition> get_component(const TasksManager& tasks,
                                                                  const PretrainedConfig& config,
                                                                  std::string_view component);

}  // namespace onnxport
