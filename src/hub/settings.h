/// Settings for the Hub, from the options and the environment. In this room, only this file reads the
/// environment. Names, defaults and precedence are those of huggingface_hub 0.36 (constants.py).
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

/// Throws ExportError(invalid_argument) for invalid values, and ExportError(io) if a token file cannot be
/// read.
Settings read_settings(const HubOptions& options);

}  // namespace onnxport::hub
