#include "exporter/preprocessors.h"

#include <string>
#include <string_view>
#include <utility>

#include "config/json.h"
#include "onnxport/dummy_inputs.h"

namespace onnxport {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

/// The images that a preprocessor passes to the model.
std::optional<ImageSize> image_size_of(const ordered_json& preprocessor) {
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

// The content of a file, or nothing if there is no such file.
std::optional<ordered_json> read(const fs::path& file) {
  std::error_code error;
  if (!fs::exists(file, error)) return {};
  return config::parse_ordered_json(config::read_json_text(file), file.string());
}

}  // namespace

namespace exporter {

std::optional<PreprocessorSettings> read_preprocessor(const fs::path& folder) {
  const fs::path own = folder / kPreprocessorFile, shared = folder / kProcessorFile;
  if (std::optional<ordered_json> values = read(own)) return PreprocessorSettings{own, std::move(*values)};
  const ordered_json processor = read(shared).value_or(ordered_json());
  PreprocessorSettings found{shared, ordered_json::object()};
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
