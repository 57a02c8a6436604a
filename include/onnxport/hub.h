/// Models by name: the cache of the Hugging Face Hub, and downloads into it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "onnxport/export_macro.h"

namespace onnxport {

/// Where to get a model that is not a local folder. Empty members come from the environment; docs/cli.md
/// lists the variables.
struct HubOptions {
  std::string revision;   ///< branch, tag or commit; empty: main
  std::string subfolder;  ///< subfolder of the repository or local folder
  /// Of the weights files: "fp16" takes model.fp16.safetensors instead of model.safetensors.
  std::string weights_variant = {};
  std::string token;
  std::filesystem::path cache_dir;
  bool local_files_only = false;  ///< use only the cache
  bool force_download = false;    ///< download files even if the cache has them
  /// Called with the bytes downloaded so far and in total, from several threads but never concurrently.
  std::function<void(std::uint64_t done, std::uint64_t total)> on_progress = {};
  /// Called with a line for the user, such as that the server was not reached and the cache is used.
  std::function<void(const std::string&)> on_notice = {};
};

/// A model that was found.
struct FoundModel {
  std::filesystem::path folder;
  /// What the Hub calls the task of the repository; empty for a local folder, or if it is not known.
  std::string pipeline_tag = {};
};

/// Finds the folder of a model. If the path `model` exists, it is that folder. Otherwise it is the id of a
/// repository, ORG/NAME or NAME. The files that an export needs are then looked up in the cache, and missing
/// ones are downloaded and verified by size and hash.
///
/// Throws ExportError: invalid_argument (neither a folder nor an id; contradictory options), io (the server,
/// the network or the disk fails, or the model is not in the cache and may not be downloaded), bad_config and
/// bad_checkpoint (there is no such folder; the repository has no config.json or no weights), unsupported
/// (its model type is not registered; this is checked before weights are downloaded).
ONNXPORT_API FoundModel find_model(const std::filesystem::path& model, const HubOptions& options = {});

/// The folder alone.
ONNXPORT_API std::filesystem::path get_model_folder(const std::filesystem::path& model,
                                                    const HubOptions& options = {});

/// A base model and the LoRA adapters that belong on it, in local folders.
struct ModelSource {
  std::filesystem::path model;                       ///< as get_model_folder() finds it
  std::vector<std::filesystem::path> adapters = {};  ///< in the order in which they are merged
  std::string pipeline_tag = {};                     ///< of the model's repository; see FoundModel
};

/// Finds a model with its adapters. `model` and each of `adapters` is a folder or the id of a repository. If
/// `model` holds an adapter (adapter_config.json), even beside a model, it is the adapter of the base model
/// that `base_model_name_or_path` names, as for transformers with peft: a path, also relative to the
/// adapter's folder, or the id of a repository. `adapters` come after it. Revision and subfolder of `options`
/// are those of `model`. The result of a call can be given to it again.
///
/// Throws ExportError as get_model_folder() does, and ExportError(bad_config) if the base model is not found;
/// ExportError(unsupported) for an adapter of another method than LoRA, before anything else is downloaded.
ONNXPORT_API ModelSource get_model_source(const std::filesystem::path& model,
                                          const std::vector<std::filesystem::path>& adapters = {},
                                          const HubOptions& options = {});

}  // namespace onnxport
