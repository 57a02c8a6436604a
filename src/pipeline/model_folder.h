/// Folders of models and adapters that a user names.
#pragma once

#include <filesystem>
#include <string>

#include "onnxport/hub.h"

namespace onnxport::pipeline {

/// What a folder or repository is expected to hold.
enum class Holds {
  model,             ///< a model; an adapter beside it is not looked at
  adapter,           ///< an adapter
  model_or_adapter,  ///< an adapter if it has adapter_config.json, else a model
};

/// A folder, and whether it is used as an adapter.
struct FoundFolder {
  std::filesystem::path path;
  bool adapter = false;
  std::string pipeline_tag = {};  ///< see FoundModel
};

/// Finds the folder of a model or adapter, as described at get_model_folder(). Of the repository of an
/// adapter, its configuration, weights, and tokenizer files are downloaded. Throws ExportError(bad_config) if
/// there is no adapter where one is expected.
FoundFolder find_folder(const std::filesystem::path& model, const HubOptions& options, Holds holds);

}  // namespace onnxport::pipeline
