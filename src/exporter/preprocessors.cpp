#include "exporter/preprocessors.h"

#include <string>
#include <string_view>

#include "config/json.h"
#include "onnxport/dummy_inputs.h"

namespace onnxport {

namespace fs = std::filesystem;

namespace {

/// The images that a preprocessor passes to the model.
std::optional<ImageSize> image_size_of(const nlohmann::ordered_json& preprocessor) {
  if (!preprocessor.is_object()) return {};
  // The crop is the last step. Old files have one number; "shortest_edge" fixes only one side.
  for (const char* key : {"crop_size", "size"}) {
    const auto it = preprocessor.find(key);
    if (it == preprocessor.end()) continue;
    if (std::string_view(key) == "crop_size" && !preprocessor.value("do_center_crop", true)) continue;
    const auto number = [&](const char* name) {
      const auto at = it->is_object() ? it->find(name) : it->end();
      return at != it->end() && at->is_number_integer() ? at->get<std::int64_t>() : 0;
    };
    const std::int64_t edge = it->is_number_integer() ? it->get<std::int64_t>() : number("shortest_edge");
    const ImageSize size = {number("height") > 0 ? number("height") : edge,
                            number("width") > 0 ? number("width") : edge};
    if (size.height > 0 && size.width > 0) return size;
  }
  return {};
}

}  // namespace

namespace exporter {

std::optional<PreprocessorSettings> read_preprocessor(const fs::path& folder) {
  const fs::path own = folder / kPreprocessorFile, shared = folder / "processor_config.json";
  std::error_code error;
  if (fs::exists(own, error))
    return PreprocessorSettings{own, config::parse_ordered_json(config::read_json_text(own), own.string())};
  if (!fs::exists(shared, error)) return {};
  const nlohmann::ordered_json processor =
      config::parse_ordered_json(config::read_json_text(shared), shared.string());
  if (!processor.is_object()) return {};
  PreprocessorSettings found{shared, nlohmann::ordered_json::object()};
  for (const char* part : {"image_processor", "feature_extractor"}) {
    const auto it = processor.find(part);
    if (it != processor.end() && it->is_object()) found.values.insert(it->begin(), it->end());
  }
  if (found.values.empty()) return {};
  if (processor.contains("processor_class")) found.values["processor_class"] = processor["processor_class"];
  return found;
}

}  // namespace exporter

std::vector<Preprocessor> load_preprocessors(const fs::path& folder) {
  const auto found = exporter::read_preprocessor(folder);
  if (!found) return {};
  return {{.file = found->file, .image_size = image_size_of(found->values)}};
}

}  // namespace onnxport
