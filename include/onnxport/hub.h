/// Models by name: the cache of the Hugging Face hub, and downloads into it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "onnxport/export_macro.h"

namespace onnxport {

/// Where a model that is no local folder comes from. What is empty comes from the environment, as
/// docs/cli.md lists it.
struct HubOptions {
  std::string revision;   ///< branch, tag or commit; empty: main
  std::string subfolder;  ///< of the repository, or below the local folder
  std::string token;
  std::filesystem::path cache_dir;
  bool local_files_only = false;  ///< only the cache is read
  bool force_download = false;    ///< download again what the cache has
  /// Called with bytes downloaded and to be downloaded, from several threads but never at the same time.
  std::function<void(std::uint64_t done, std::uint64_t total)> on_progress = {};
  /// Called with a line for the user: that the server was not reached and the cache is used.
  std::function<void(const std::string&)> on_notice = {};
};

/// The folder of a model. `model` is that folder where one exists under this path; else it is the id of a
/// repository, ORG/NAME or NAME, and what an export needs of it is looked for in the cache and downloaded
/// where it is missing. Files in the cache are verified when they are downloaded, by size and by hash.
///
/// Throws ExportError: invalid_argument (no folder and no id; options that contradict each other), io (the
/// server, the network or the disk fails, or the model is not in the cache and may not be downloaded),
/// bad_config and bad_checkpoint (there is no such folder; the repository has no config.json or no weights),
/// unsupported (its model type is not registered: said before the weights are downloaded).
ONNXPORT_API std::filesystem::path get_model_folder(const std::filesystem::path& model,
                                                    const HubOptions& options = {});

}  // namespace onnxport
