/// What the options and the environment say about the hub. Only this file of the room reads the environment;
/// names, defaults and precedence are those of huggingface_hub 0.36 (constants.py).
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "onnxport/hub.h"

namespace onnxport::hub {

struct Settings {
  std::string endpoint;                     ///< without a slash at the end
  std::filesystem::path cache;              ///< the folder with `models--…`
  std::string token;                        ///< empty: none
  std::string offline;                      ///< what forbids the network, for messages; empty: nothing does
  bool force = false;                       ///< download what the cache has, too
  std::string ca_bundle;                    ///< file of certificates; empty: the system's
  std::chrono::seconds stall{10};           ///< without any data, a connection is given up
  std::chrono::milliseconds pause{1000};    ///< before the first of several attempts; doubled for each
  std::chrono::milliseconds longest{8000};  ///< pause of our own; a server may ask for a longer one
};

/// Throws ExportError(invalid_argument) for values that make no sense, ExportError(io) for a token file that
/// cannot be read.
Settings read_settings(const HubOptions& options);

}  // namespace onnxport::hub
