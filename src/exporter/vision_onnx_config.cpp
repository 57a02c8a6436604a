#include <nlohmann/json.hpp>

#include "config/json.h"
#include "onnxport/onnx_config.h"

namespace onnxport {

namespace fs = std::filesystem;

AxesByName VisionOnnxConfig::inputs() const {
  if (!takes_any_image_size()) return {{"pixel_values", {{0, "batch_size"}}}};
  return {{"pixel_values", {{0, "batch_size"}, {2, "height"}, {3, "width"}}}};
}

AxesByName VisionOnnxConfig::outputs() const {
  if (task() == "feature-extraction") return {{"last_hidden_state", {{0, "batch_size"}}}};
  return common_outputs(task());
}

NormalizedConfig VisionOnnxConfig::normalized_config() const { return NormalizedVisionConfig(config()); }

DummyInputGenerators VisionOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummyVisionInputGenerator>()};
}

DummyInputGenerators TextAndVisionOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummyVisionInputGenerator>(),
          std::make_shared<const DummyTextInputGenerator>()};
}

std::optional<ImageSize> preprocessor_image_size(const fs::path& folder) {
  const fs::path file = folder / "preprocessor_config.json";
  std::error_code error;
  if (!fs::exists(file, error)) return {};
  const nlohmann::json preprocessor = config::parse_json(config::read_json_text(file), file.string());
  if (!preprocessor.is_object()) return {};
  // The crop comes last. Old files have one number; "shortest_edge" fixes only the other one.
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

}  // namespace onnxport
