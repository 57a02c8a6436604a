/// The settings of image processors and feature extractors.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

namespace onnxport::exporter {

inline constexpr const char* kPreprocessorFile = "preprocessor_config.json";
inline constexpr const char* kProcessorFile = "processor_config.json";  // of a processor with several parts

struct PreprocessorSettings {
  std::filesystem::path file;  ///< that has them, for errors
  nlohmann::ordered_json values;
};

/// The content of preprocessor_config.json. Version 5 of transformers saves none for models with a processor:
/// its processor_config.json has an image processor and a feature extractor as parts, which are put together
/// here. Nothing if there is neither. Throws ExportError(bad_config) for broken JSON.
std::optional<PreprocessorSettings> read_preprocessor(const std::filesystem::path& folder);

}  // namespace onnxport::exporter
