#include <nlohmann/json.hpp>

#include "config/json.h"
#include "onnxport/dummy_inputs.h"

namespace onnxport {

namespace fs = std::filesystem;

namespace {

/// The images that a preprocessor passes to the model.
std::optional<ImageSize> image_size_of(const nlohmann::json& preprocessor) {
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

std::vector<Preprocessor> load_preprocessors(const fs::path& folder) {
  const fs::path file = folder / "preprocessor_config.json";
  std::error_code error;
  if (!fs::exists(file, error)) return {};
  const nlohmann::json preprocessor = config::parse_json(config::read_json_text(file), file.string());
  return {{.file = file, .image_size = image_size_of(preprocessor)}};
}

}  // namespace onnxport
